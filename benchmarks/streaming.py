"""What a streamed answer costs beside the bare server: the time to its first chunk, and chunks a second.

    python benchmarks/streaming.py [--quick]

A function counts, each number is a server-sent event (`apps/stream_*.py`). The first chunk: one client, one request
after the other on one connection, streams of eight events; the first tenth of them warms up and does not count. Chunks
a second: eight clients at once, long streams. Every server is on one core and has the same number of repeats; the bare
one is Starlette's StreamingResponse on uvicorn with httptools and uvloop. LitServe runs with one and with two HTTP
processes.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Final, cast

import uvloop

import harness
from harness import BenchmarkError, Server
from harness.peers import LITSERVE_API_SERVERS, litserve_environment

NAME: Final = "streaming"
PACKAGES: Final = ("dilu", "uvicorn", "httptools", "uvloop", "starlette", "litserve")
APPS: Final = "benchmarks/apps"
OURS: Final = ("dilu async", "dilu sync")
BARE: Final = "bare server"
LAST: Final = b"event: done\ndata: {}\n\n"
SHORT, LONG, CLIENTS = 8, 2000, 8
_MAX_WAIT_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One server."""

    command: tuple[str, ...]
    ready: str
    path: str = "/"
    body: str = "%d"
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much and how often."""

    requests: int
    long_streams: int  # of each client
    repeats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One repeat of one contender."""

    first_chunk_us: float
    whole_us: float  # to the end of a short stream
    chunks_per_s: float


FULL: Final = Sizes(requests=1000, long_streams=2, repeats=5)
QUICK: Final = Sizes(requests=300, long_streams=1, repeats=2)


def _dilu(function: str) -> Contender:
    command = (sys.executable, "-m", "dilu", "serve", f"{APPS}/stream_dilu.py:{function}")
    return Contender(command=command, ready="/readyz", env={"DILU_STATS_PORT": "0"})


def _litserve(api_servers: int) -> Contender:
    return Contender(
        command=(sys.executable, f"{APPS}/stream_litserve.py"),
        ready="/health",
        path="/predict",
        body='{"n": %d}',
        env=litserve_environment(api_servers),
    )


CONTENDERS: Final[Mapping[str, Contender]] = {
    "dilu async": _dilu("count"),
    "dilu sync": _dilu("count_sync"),
    BARE: Contender(
        command=(
            *(sys.executable, "-m", "uvicorn", "--app-dir", APPS, "stream_starlette:app", "--port", "{port}"),
            *("--http", "httptools", "--loop", "uvloop", "--ws", "none", "--lifespan", "off"),
            *("--no-access-log", "--log-level", "warning"),
        ),
        ready="/",
    ),
    **{f"LitServe x{api_servers}": _litserve(api_servers) for api_servers in LITSERVE_API_SERVERS},
}


class Reader(asyncio.Protocol):
    """One connection, on which one stream at a time is requested and read to its end."""

    def __init__(self) -> None:
        self._ended: asyncio.Future[None] | None = None
        self._tail = b""
        self.first_s = 0.0
        self.events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Note the first event, count the events, and detect the end."""
        if not self.first_s and b"data:" in data:
            self.first_s = time.perf_counter()
        self._tail = self._tail[-40:] + data
        self.events += data.count(b"data: ")
        if self._tail.endswith(b"0\r\n\r\n") and LAST.strip() in self._tail:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the stream that is open."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(BenchmarkError("a stream was cut"))

    async def read_stream(self, request: bytes) -> tuple[float, float]:
        """Return the seconds to the first event and to the end."""
        self.first_s, self.events, self._tail = 0.0, 0, b""
        self._ended = asyncio.get_running_loop().create_future()
        began_s = time.perf_counter()
        self.transport.write(request)
        async with asyncio.timeout(_MAX_WAIT_S):
            await self._ended
        return self.first_s - began_s, time.perf_counter() - began_s

    def _end(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)


async def _connected(port: int) -> Reader:
    _, reader = await asyncio.get_running_loop().create_connection(Reader, "127.0.0.1", port)
    return reader


def request(name: str, events: int) -> bytes:
    """Return the request for a stream of `events` events."""
    contender = CONTENDERS[name]
    return harness.http_request("POST", contender.path, (contender.body % events).encode())


async def first_chunks(name: str, port: int, sizes: Sizes) -> tuple[float, float]:
    """Return the median microseconds to the first event and to the end of a short stream."""
    reader = await _connected(port)
    asked = request(name, SHORT)
    times_s = [await reader.read_stream(asked) for _ in range(sizes.requests)]
    if reader.events != SHORT + 1:
        raise BenchmarkError(f"{name}: {reader.events} events instead of {SHORT} and the last one")
    reader.transport.close()
    first_s, whole_s = zip(*times_s[len(times_s) // 10 :], strict=True)  # the first ones warm it up
    return statistics.median(first_s) * 1e6, statistics.median(whole_s) * 1e6


async def chunk_rate(name: str, port: int, sizes: Sizes) -> float:
    """Return the events a second of several long streams at once."""
    readers = [await _connected(port) for _ in range(CLIENTS)]
    asked = request(name, LONG)

    async def read_all(reader: Reader) -> None:
        for _ in range(sizes.long_streams):
            await reader.read_stream(asked)

    began_s = time.perf_counter()
    await asyncio.gather(*(read_all(reader) for reader in readers))
    taken_s = time.perf_counter() - began_s
    for reader in readers:
        reader.transport.close()
    return CLIENTS * sizes.long_streams * LONG / taken_s


def measure_once(name: str, server: Server, sizes: Sizes) -> Seen:
    """Measure one contender once."""
    first_us, whole_us = uvloop.run(first_chunks(name, server.port, sizes))
    seen = Seen(
        first_chunk_us=first_us,
        whole_us=whole_us,
        chunks_per_s=uvloop.run(chunk_rate(name, server.port, sizes)),
    )
    harness.progress(f"{name}: first chunk after {first_us:,.0f} us, {seen.chunks_per_s:,.0f} chunks/s")
    return seen


def measure(sizes: Sizes, left_out: dict[str, str]) -> dict[str, list[Seen]]:
    """Measure each contender that runs, alternately; each repeat starts it again, so that no other one has the core."""

    def once(name: str) -> Seen | None:
        contender = CONTENDERS[name]
        if name in left_out:
            return None
        try:
            with harness.serving(name, contender.command, ready=contender.ready, env=contender.env) as server:
                return measure_once(name, server, sizes)
        except (BenchmarkError, OSError, TimeoutError) as error:
            if name in (*OURS, BARE):
                raise
            left_out[name] = str(error) or type(error).__name__
            return None

    by_name = harness.interleaved(tuple(CONTENDERS), once, sizes.repeats)
    return {name: [one for one in seen if one is not None] for name, seen in by_name.items() if name not in left_out}


def rows(found: Mapping[str, list[Seen]]) -> list[dict[str, object]]:
    """Return the added time of the first chunk, and chunks a second beside the bare server and the peers."""

    def each(name: str, value: Callable[[Seen], float]) -> list[float]:
        return [value(seen) for seen in found[name]]

    def first_us(seen: Seen) -> float:
        return seen.first_chunk_us

    def rate(seen: Seen) -> float:
        return seen.chunks_per_s

    table = []
    for ours in OURS:
        pairs = zip(each(ours, first_us), each(BARE, first_us), strict=True)
        added_us = [mine - bare for mine, bare in pairs]
        table.append(harness.row(f"{ours}: first chunk over the bare server", added_us, "us", goal="value <= 1000"))
        for peer in found:
            if peer not in OURS:
                for what, unit, value in (("first chunk", "us", first_us), ("chunks", "chunks/s", rate)):
                    mine, theirs = each(ours, value), each(peer, value)
                    table.append(harness.row(f"{ours}: {what}", mine, unit, peer=peer, peer_value=theirs))
    return table


def main() -> None:
    options = harness.arguments(__doc__)
    harness.pin_client()
    sizes = QUICK if options.quick else FULL
    left_out: dict[str, str] = {}
    found = measure(sizes, left_out)
    details = {
        "repeats": {name: [asdict(one) for one in seen] for name, seen in found.items()},
        "left_out": left_out,
        "sizes": asdict(sizes),
        "events_of_a_stream": {"short": SHORT, "long": LONG},
        "clients": CLIENTS,
    }
    harness.write_result(NAME, rows(found), details=details, options=options, packages=PACKAGES)


if __name__ == "__main__":
    main()
