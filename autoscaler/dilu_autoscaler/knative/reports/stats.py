"""The reports of activators and queue-proxies: decoding and encoding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from dilu_autoscaler.knative.reports import stat_pb2

MAX_NAME: Final = 253
"""Kubernetes' limit. Names are remembered, and any client in the cluster can send a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """One report about one revision, by one of its pods or by an activator."""

    key: str  # NAMESPACE/REVISION
    pod: str
    concurrency: float  # mean requests in flight over the last period
    proxied_concurrency: float  # the part that an activator reports as well
    requests: float  # since the last report; from a queue-proxy: per second
    proxied_requests: float
    uptime_s: float
    time_s: int  # Unix seconds; 0: not set


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The contents of one websocket message."""

    stats: tuple[Stat, ...]
    skipped: int  # reports without contents, which newer senders may send, and reports with names that cannot exist


def read_frame(data: bytes, *, now_s: float) -> Frame | None:
    """Return the reports of one websocket message; None if the bytes are not a valid message.

    A report without a time gets `now_s`.
    """
    message = stat_pb2.WireStatMessages()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return None
    stats = tuple(
        _stat(f"{one.namespace}/{one.name}", one.stat, int(now_s)) for one in message.messages if _is_report(one)
    )
    return Frame(stats=stats, skipped=len(message.messages) - len(stats))


def read_stat(data: bytes, key: str, *, now_s: float) -> Stat | None:
    """Return a queue-proxy's report about its pod; None if the bytes are not a valid message."""
    message = stat_pb2.Stat()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return None
    return _stat(key, message, int(now_s))


def write_frame(stats: Iterable[Stat]) -> bytes:
    """Return reports as one websocket message."""
    message = stat_pb2.WireStatMessages()
    for stat in stats:
        namespace, _, name = stat.key.partition("/")
        one = message.messages.add(namespace=namespace, name=name)
        one.stat.pod_name = stat.pod
        one.stat.average_concurrent_requests = stat.concurrency
        one.stat.average_proxied_concurrent_requests = stat.proxied_concurrency
        one.stat.request_count = stat.requests
        one.stat.proxied_request_count = stat.proxied_requests
        one.stat.process_uptime = stat.uptime_s
        one.stat.timestamp = stat.time_s
    return message.SerializeToString()


def _is_report(one: stat_pb2.WireStatMessage) -> bool:
    return one.HasField("stat") and len(one.namespace) <= MAX_NAME and len(one.name) <= MAX_NAME


def _stat(key: str, stat: stat_pb2.Stat, now_s: int) -> Stat:
    return Stat(
        key=key,
        pod=stat.pod_name[:MAX_NAME],
        concurrency=stat.average_concurrent_requests,
        proxied_concurrency=stat.average_proxied_concurrent_requests,
        requests=stat.request_count,
        proxied_requests=stat.proxied_request_count,
        uptime_s=stat.process_uptime,
        time_s=stat.timestamp or now_s,
    )
