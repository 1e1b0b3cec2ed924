"""The settings of one replica, read from the environment and checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from dilu.errors import ConfigError
from dilu.runtime.logs import FORMATS
from dilu.spec import names


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSettings:
    """The addresses, limits and log format of one replica."""

    host: str = "127.0.0.1"
    port: int = names.DEFAULT_PORT  # 0: any free port, reported on the control line
    stats_port: int = names.DEFAULT_STATS_PORT  # 0: any free port
    bind_after_ready: bool = False  # Knative decides readiness by whether the port is open
    overrides: Mapping[str, Any] | None = None  # fields of the function's spec that win over the decorator's
    replica: str | None = None
    log_format: str = "plain"
    control_fd: int | None = None
    drain_timeout_s: float = 30.0
    request_timeout_s: float | None = None  # maximum time of a request, if the function sets none


def read_settings(environ: Mapping[str, str]) -> ReplicaSettings:
    """Read the settings from the environment. Raise `ConfigError` naming the variable, the value and the rule."""
    on_knative = bool(environ.get(names.ENV_K_SERVICE))
    return ReplicaSettings(
        host=environ.get(names.ENV_HOST) or ("0.0.0.0" if on_knative else "127.0.0.1"),
        port=_port(environ, names.ENV_PORT, names.DEFAULT_PORT),
        stats_port=_port(environ, names.ENV_STATS_PORT, names.DEFAULT_STATS_PORT),
        bind_after_ready=on_knative,
        overrides=_overrides(environ),
        replica=environ.get(names.ENV_REPLICA),
        log_format=_log_format(environ, "json" if on_knative else "plain"),
        request_timeout_s=_seconds(environ, names.ENV_REQUEST_TIMEOUT_S),
        control_fd=_whole_number(environ, names.ENV_CONTROL_FD),
    )


def _whole_number(environ: Mapping[str, str], key: str) -> int | None:
    text = environ.get(key)
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"{key} = {text!r}, must be a whole number")
    return int(text)


def _seconds(environ: Mapping[str, str], key: str) -> float | None:
    text = environ.get(key)
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise ConfigError(f"{key} = {text!r}, must be a number of seconds above 0")
    return seconds


def _port(environ: Mapping[str, str], key: str, default: int) -> int:
    port = _whole_number(environ, key)
    if port is None:
        return default
    if port > 65535:
        raise ConfigError(f"{key} = {port}, must be in 0..65535")
    return port


def _log_format(environ: Mapping[str, str], default: str) -> str:
    value = environ.get(names.ENV_LOG_FORMAT) or default
    if value not in FORMATS:
        raise ConfigError(f"{names.ENV_LOG_FORMAT} = {value!r}, must be one of {', '.join(FORMATS)}")
    return value


def _overrides(environ: Mapping[str, str]) -> dict[str, Any] | None:
    text = environ.get(names.ENV_FUNCTION_SPEC)
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ConfigError(f"{names.ENV_FUNCTION_SPEC} = {text[:80]!r}, must be a JSON object: {error}") from None
