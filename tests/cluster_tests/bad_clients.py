"""Clients of a stat server that do not keep to the protocol, from sockets alone."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from testcluster.api import Object
from testcluster.cluster import Cluster
from testcluster.sockets import connect_in

STAT_PORT: Final = 8080
_HANDSHAKE: Final = (
    b"GET / HTTP/1.1\r\nHost: autoscaler.knative-serving.svc.cluster.local:8080\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TEXT, BINARY, PING = 0x1, 0x2, 0x9
_SEND_S: Final = 5.0


def connected(cluster: Cluster, pod: Object) -> socket.socket:
    """A plain connection to a pod's stat server."""
    return connect_in(cluster.sandbox.network, (pod["status"]["podIP"], STAT_PORT), _SEND_S)


def upgraded(cluster: Cluster, pod: Object) -> socket.socket:
    """A connection on which websocket frames may be sent."""
    made = connected(cluster, pod)
    made.sendall(_HANDSHAKE)
    head = b""
    while b"\r\n\r\n" not in head:
        head += made.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return made


def frame(kind: int, content: bytes) -> bytes:
    """A client's frame, masked with zeros."""
    if len(content) < 126:
        length = bytes([0x80 | len(content)])
    elif len(content) < 2**16:
        length = b"\xfe" + struct.pack(">H", len(content))
    else:
        length = b"\xff" + struct.pack(">Q", len(content))
    return bytes([0x80 | kind]) + length + bytes(4) + content


def garbage() -> dict[str, bytes]:
    """What may follow on a handshake, by a name."""
    noise = os.urandom(512)
    return {
        "noise": noise,
        "no report": frame(BINARY, b"\xff" * 64),
        "text": frame(TEXT, b"hello"),
        "text that is no UTF-8": frame(TEXT, b"\xff\xfe"),
        "half a frame": frame(BINARY, noise)[:40],
        "an endless frame": b"\x82\xff" + struct.pack(">Q", 2**62) + bytes(4) + noise,
        "a long ping": frame(PING, noise),
        "an unknown kind": frame(0x7, b"x"),
        "not masked": b"\x82\x04\xff\xff\xff\xff",
        "nothing": b"",
    }


@dataclass(slots=True, kw_only=True)
class Flood:
    """How much got through."""

    sent_bytes: int = 0
    was_cut: bool = False


@contextmanager
def flooding(cluster: Cluster, pod: Object, content: bytes, *, clients: int) -> Iterator[Flood]:
    """`count` clients that send this repeatedly, as fast as they can, and never read the answers."""
    flood, over = Flood(), threading.Event()

    def send() -> None:
        with contextlib.closing(upgraded(cluster, pod)) as made:
            while not over.is_set():
                try:
                    flood.sent_bytes += made.send(content)
                except TimeoutError:
                    time.sleep(0)  # it is not read, for what it was answered is not read either
                except OSError:
                    flood.was_cut = True
                    return

    threads = [threading.Thread(target=send) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield flood
    finally:
        over.set()
        for thread in threads:
            thread.join()
