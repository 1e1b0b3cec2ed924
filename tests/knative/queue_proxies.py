"""Pods of a revision for the tests: HTTP servers on addresses of 127.0.0.0/8, all with the same port."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from dilu_autoscaler.knative.reports import stat_pb2

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Answers = Callable[[str, int], bytes | None]
"""An answer's bytes by the pod's address and the number of earlier requests to that pod. None: it never answers."""
HANG_UP: Final = b""
"""The answer of a pod that closes the connection."""


def report(
    pod: str, *, concurrency: float = 0.0, proxied: float = 0.0, requests: float = 0.0, uptime_s: float = 100.0
) -> bytes:
    """Return the answer of a queue-proxy."""
    stat = stat_pb2.Stat(
        pod_name=pod,
        average_concurrent_requests=concurrency,
        average_proxied_concurrent_requests=proxied,
        request_count=requests,
        process_uptime=uptime_s,
    )
    return answer(stat.SerializeToString(), content_type="application/protobuf")


def answer(body: bytes = b"", *, status: int = 200, content_type: str = "text/plain") -> bytes:
    """Return any answer."""
    head = f"HTTP/1.1 {status} Some\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def always(sent: bytes) -> Answers:
    """Give the same answer to every request."""
    return lambda _, __: sent


@dataclass(slots=True, kw_only=True)
class Pods:
    """What the pods were asked."""

    port: int = 0
    requests: list[tuple[str, str]] = field(default_factory=list)  # (the pod's address, the request's head)
    connections: int = 0
    closes: bool = False  # end a connection after its answer
    asked: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def pods(answers: Answers, *addresses: str, closes: bool = False) -> AsyncIterator[Pods]:
    """Servers at these addresses; `closes`: each ends a connection after its first answer, without saying so."""
    seen = Pods(closes=closes)
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("sockname")[0]
        seen.connections += 1
        writers.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                before = sum(1 for asked, _ in seen.requests if asked == address)
                seen.requests.append((address, head))
                seen.asked.set()
                bytes_ = answers(address, before)
                if bytes_ == HANG_UP:
                    break
                if bytes_ is not None:
                    writer.write(bytes_)
                    await writer.drain()
                    if seen.closes:
                        break
        writers.discard(writer)
        writer.close()

    servers = await _listen(serve, addresses)
    seen.port = servers[0].sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        for server in servers:
            server.close()
        for writer in list(writers):
            writer.transport.abort()
        await asyncio.gather(*(server.wait_closed() for server in servers))
        while writers:
            await asyncio.sleep(0)


async def _listen(serve: Serve, addresses: Sequence[str]) -> list[asyncio.Server]:
    """Servers at all addresses with one port. The one that is free at the first may be taken at another: then again."""
    while True:
        servers: list[asyncio.Server] = []
        port = 0
        try:
            for address in addresses:
                servers.append(await asyncio.start_server(serve, address, port))
                port = servers[0].sockets[0].getsockname()[1]
        except OSError as error:
            for server in servers:
                server.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return servers
