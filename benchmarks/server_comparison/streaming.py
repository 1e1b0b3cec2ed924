"""What open streams cost: of clients that listen, and of clients that never read what is sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from typing import Final, cast

import harness
from server_comparison.candidates import Found, start
from server_comparison.clients import probed_for, run_async
from server_comparison.sizes import Sizes

DEAF_CLIENTS: Final = 20


def measure_streams(name: str, sizes: Sizes) -> Found:
    """Open the streams of a fresh process; a WSGI candidate has a thread for each of them and some more."""
    server = start(name, threads=sizes.streams + 150)
    try:
        result = run_async(_streams(server, count=sizes.streams, hold_s=sizes.hold_s))
        result["never_read"] = run_async(_never_read(server, seconds=min(1.0, sizes.hold_s / 2)))
    except (OSError, TimeoutError) as error:
        result = {"held": 0, "failed": type(error).__name__}
    finally:
        server.stop()
    return result


class Listener(asyncio.Protocol):
    """The reading end of one stream; counts its events."""

    def __init__(self) -> None:
        self.events = 0
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Request the stream."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.transport.write(harness.http_request("GET", "/stream"))
        self.open = True

    def data_received(self, data: bytes) -> None:
        """Count what came."""
        self.events += data.count(b"\n\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self.open = False


async def _listen(port: int, count: int) -> list[Listener]:
    """`count` open streams, made 50 at a time."""
    loop = asyncio.get_running_loop()
    made: list[Listener] = []
    async with asyncio.timeout(60):
        while len(made) < count:
            some = (loop.create_connection(Listener, "127.0.0.1", port) for _ in range(min(50, count - len(made))))
            made += [listener for _, listener in await asyncio.gather(*some)]
    return made


async def _streams(server: harness.Server, *, count: int, hold_s: float) -> Found:
    """`count` open streams, one event a second each, and probes beside them; then their clients vanish at once."""
    readers = await _listen(server.port, count)
    for _ in range(250):
        if all(reader.events for reader in readers):
            break
        await asyncio.sleep(0.02)
    had, began_s = sum(reader.events for reader in readers), time.monotonic()
    probed = await probed_for(server.port, hold_s)
    due = count * (time.monotonic() - began_s)
    got = sum(reader.events for reader in readers) - had
    held = sum(reader.open and reader.events > 0 for reader in readers)
    memory_mib = server.memory_mib()
    for reader in readers:
        reader.transport.abort()
    noticed_s = await _all_noticed(server.port)
    return {"held": held, "events_ratio": got / due, **probed, "memory_mib": memory_mib, "noticed_s": noticed_s}


def _deaf_client(port: int) -> socket.socket:
    """Request a stream and never read it; a small buffer, else the kernel takes megabytes for it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client.connect(("127.0.0.1", port))
    client.sendall(harness.http_request("GET", "/flood"))
    return client


async def _never_read(server: harness.Server, *, seconds: float) -> Found:
    """Measure the cost of clients that read nothing, while their handlers send as fast as the server allows."""
    before_mib = server.memory_mib()
    clients = [_deaf_client(server.port) for _ in range(DEAF_CLIENTS)]
    await asyncio.sleep(0.5)  # the kernel's buffers are full by now
    probed = await probed_for(server.port, seconds)
    grown_mib = server.memory_mib() - before_mib
    for client in clients:
        client.close()
    return {"grown_mib": round(grown_mib, 1), **probed, "noticed_s": await _all_noticed(server.port)}


async def _all_noticed(port: int, max_wait_s: float = 5.0) -> float | None:
    """Return the seconds until the application has no open stream; None if that takes too long."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < max_wait_s:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            answer = await harness.fetch(port, harness.http_request("GET", "/facts"), timeout_s=1.0)
            if json.loads(answer.body)["open_streams"] == 0:
                return time.monotonic() - began_s
        await asyncio.sleep(0.05)
    return None
