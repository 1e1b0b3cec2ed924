"""The status document of `dilu up`: functions and their replicas on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dilu_autoscaler.explaining.status import FunctionStatus, StatusDocument


class LocalFunctionStatus(FunctionStatus, kw_only=True):
    """One function."""

    url: str = ""
    target: str
    """Where its code is, as given to `dilu up`."""
    abandoned: int
    """Requests that lost their client before they were answered."""
    replica_seconds: float
    cold_starts: tuple[Mapping[str, Any], ...]
    """The phases of each start, in seconds."""
    replicas: tuple[Mapping[str, Any], ...]
    """Id, state, process, port, requests in flight and restarts of each replica."""


class GatewayStatus(msgspec.Struct, kw_only=True):
    """Where the gateway listens, and how it tells functions apart."""

    url: str
    route: str


class LocalStatus(StatusDocument, kw_only=True):
    """One platform that is up."""

    name: str
    pid: int
    gateway: GatewayStatus
    functions: tuple[LocalFunctionStatus, ...] = ()
