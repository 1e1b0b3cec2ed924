"""A gateway on a free port in front of hand-made replicas, all on one loop, for tests of what passes between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvloop

from dilu.http.client.upstream import Upstream
from dilu.http.listener import Listener, bind
from dilu.spec.applications import Route
from dilu_autoscaler.load_sampler import LoadSampler, whole_us
from dilu_autoscaler.local.backends import Backend, Backends, WaitLimits
from dilu_autoscaler.local.gateway import GatewayApp
from dilu_autoscaler.local.proxied_request import GatewayLimits, ServedFunction
from dilu_autoscaler.local.routing import Router
from dilu_autoscaler.local.traffic import Outcomes

Result = TypeVar("Result")


@dataclass
class HandMadeReplica:
    """A replica that says exactly what a test wants; it keeps what it was sent."""

    port: int
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    client_left: asyncio.Event = field(default_factory=asyncio.Event)


Talk = Callable[[HandMadeReplica, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def replica(talk: Talk) -> AsyncIterator[HandMadeReplica]:
    """Reads each request and lets `talk` answer it; when `talk` raises ConnectionError, the connection is cut."""
    made = HandMadeReplica(0)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                made.heads.append(head)
                made.bodies.append(await reader.readexactly(_length(head)))
                await talk(made, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            made.client_left.set()
        finally:
            writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def says(answer: bytes) -> Talk:
    """Always the same bytes."""

    async def talk(made: HandMadeReplica, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return talk


async def hangs_up(made: HandMadeReplica, writer: asyncio.StreamWriter) -> None:
    """Closes without an answer."""
    raise ConnectionResetError


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


@dataclass
class Bench:
    """The gateway under test."""

    port: int
    app: GatewayApp
    served: ServedFunction
    backends: Backends
    unreachable: list[str]

    def add(self, port: int, *, name: str = "one", max_in_flight: int = 8) -> Backend:
        """Make a replica ready."""
        backend = Backend(name, Upstream("127.0.0.1", port), max_in_flight)
        self.backends.add(backend)
        return backend

    async def exchange(self, request: bytes) -> bytes:
        """All that comes back on one connection, until the gateway closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.read(), 10.0)
        finally:
            writer.transport.abort()

    async def post(self, path: str = "/f", body: bytes = b"1", headers: str = "") -> bytes:
        """The answer to one POST, head and body."""
        head = f"POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {len(body)}\r\n"
        return await self.exchange(f"{head}{headers}\r\n".encode() + body)


@asynccontextmanager
async def bench(
    *, limits: GatewayLimits | None = None, wait: WaitLimits | None = None, names: tuple[str, ...] = ("f", "g")
) -> AsyncIterator[Bench]:
    """A gateway for function f, which has no replica yet (and g, which never has one)."""
    unreachable: list[str] = []
    functions = {}
    for name in names:
        backends = Backends(name, wait or WaitLimits(max_wait_s=5.0), on_wait=lambda: None)
        functions[name] = ServedFunction(
            name=name,
            backends=backends,
            outcomes=Outcomes(100.0),
            load=LoadSampler(whole_us(time.monotonic())),
            on_active=lambda: None,
            on_unreachable=lambda backend: unreachable.append(backend.id),
        )
    gateway_socket = bind("127.0.0.1", 0)
    app = GatewayApp(Router(Route.PATH, names), functions, limits or GatewayLimits())
    listener = Listener(app, gateway_socket)
    await listener.start()
    served = functions[names[0]]
    try:
        yield Bench(listener.port, app, served, served.backends, unreachable)
    finally:
        await listener.close(0.0)
        gateway_socket.close()


def run(test: Coroutine[Any, Any, Result]) -> Result:
    """Run a test on the loop that the product uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(test)
