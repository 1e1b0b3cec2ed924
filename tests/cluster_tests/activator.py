"""An activator as an autoscaler sees it: a websocket, and reports on it about requests that wait."""

from __future__ import annotations

import base64
import os
import socket
import struct
import time
from types import TracebackType
from typing import Final, Self

from dilu_autoscaler.knative.reports.stats import Stat, write_frame
from testcluster.cluster import Cluster
from testcluster.sockets import connect_in

STAT_PORT: Final = 8080
_ANSWER_S: Final = 10.0
_BINARY_AND_LAST: Final = 0x82
_MASKED: Final = 0x80
_SHORT: Final = 125  # the longest message whose length fits into one byte


class Activator:
    """One, connected to this pod; use it with `with`."""

    def __init__(self, cluster: Cluster, ip: str) -> None:
        self._socket = connect_in(cluster.sandbox.network, (ip, STAT_PORT), _ANSWER_S)
        try:
            self._shake_hands()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def report_one_waiting(self, key: str) -> None:
        """One request waits for this revision (NAMESPACE/NAME), which has no pod."""
        stat = Stat(
            key=key,
            pod="activator-of-a-test",
            concurrency=1.0,
            proxied_concurrency=0.0,
            requests=1.0,
            proxied_requests=0.0,
            uptime_s=60.0,
            time_s=int(time.time()),
        )
        self._send(write_frame([stat]))

    def _shake_hands(self) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            "GET / HTTP/1.1\r\nHost: autoscaler.knative-serving.svc.cluster.local:8080\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        answer = _read_head(self._socket)
        if not answer.startswith(b"HTTP/1.1 101 "):
            raise AssertionError(f"no websocket: {answer!r}")

    def _send(self, message: bytes) -> None:
        length = bytes([_MASKED | len(message)])
        if len(message) > _SHORT:
            length = struct.pack(">BH", _MASKED | (_SHORT + 1), len(message))
        mask = b"\0\0\0\0"  # which changes nothing
        self._socket.sendall(bytes([_BINARY_AND_LAST]) + length + mask + message)


def _read_head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(1024)
        if not part:
            break
        head += part
    return head
