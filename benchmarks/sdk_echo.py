"""What one echo of 64 floats costs in our SDK, beside FastAPI, Starlette and the bare server under the same client.

    python benchmarks/sdk_echo.py [--quick]

Every server is one process on one core; wrk has the other core. All stand on uvicorn with httptools and uvloop, write
no access log, and have the same warm-up, loads and repeats. Like with like: our sync handler beside FastAPI's sync
route (both leave the server's loop for a thread), our async handler beside FastAPI's async route. Starlette runs as it
comes, with the standard library's json, and with the codec that we use, msgspec. The bare server is an ASGI application
of ten lines with msgspec.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from typing import Final

import harness
from harness import BenchmarkError, Load, Server

NAME: Final = "sdk_echo"
PACKAGES: Final = ("dilu", "uvicorn", "httptools", "uvloop", "msgspec", "fastapi", "pydantic", "starlette")
PAYLOAD: Final = json.dumps([round(math.sin(n), 6) for n in range(64)]).encode()
CONNECTIONS: Final = (1, 16, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One server: its command, its readiness probe, the path of its echo."""

    command: tuple[str, ...]
    ready: str
    path: str = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How long and how often; each contender is warmed up with the highest number of connections."""

    warm_up_s: int
    seconds: int
    repeats: int


FULL: Final = Sizes(warm_up_s=3, seconds=3, repeats=7)
QUICK: Final = Sizes(warm_up_s=1, seconds=1, repeats=1)


def _dilu(function: str) -> Contender:
    return Contender(
        command=(sys.executable, "-m", "dilu", "serve", f"benchmarks/apps/echo_dilu.py:{function}"), ready="/readyz"
    )


def _uvicorn(module: str, path: str = "/") -> Contender:
    command = (
        *(sys.executable, "-m", "uvicorn", "--app-dir", "benchmarks/apps", f"{module}:app", "--port", "{port}"),
        *("--http", "httptools", "--loop", "uvloop", "--ws", "none", "--lifespan", "off"),
        *("--no-access-log", "--log-level", "warning"),
    )
    return Contender(command=command, ready=path, path=path)


CONTENDERS: Final[Mapping[str, Contender]] = {
    "dilu sync": _dilu("echo"),
    "dilu async": _dilu("echo_async"),
    "fastapi sync": _uvicorn("echo_fastapi", "/sync"),
    "fastapi async": _uvicorn("echo_fastapi", "/async"),
    "starlette": _uvicorn("echo_starlette"),
    "starlette, msgspec": _uvicorn("echo_starlette", "/msgspec"),
    "bare server": _uvicorn("echo_bare"),
}

Measured = dict[str, dict[int, list[Load]]]  # by contender and number of connections, then by repeat


@contextlib.contextmanager
def all_serving(left_out: dict[str, str]) -> Iterator[dict[str, Server]]:
    """Start all contenders; a peer that does not run goes into `left_out`, with the reason."""
    with contextlib.ExitStack() as stack:
        servers = {}
        for name, contender in CONTENDERS.items():
            try:
                server = harness.start_server(
                    name, contender.command, ready=contender.ready, env={"DILU_STATS_PORT": "0"}
                )
                stack.callback(server.stop)
                check_echo(server, contender.path)
                servers[name] = server
            except BenchmarkError as error:
                if name.startswith("dilu"):
                    raise
                left_out[name] = str(error)
        yield servers


def check_echo(server: Server, path: str) -> None:
    """Raise BenchmarkError unless the server answers with what was sent."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request("POST", path, PAYLOAD, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    if response.status != 200 or json.loads(text) != json.loads(PAYLOAD):
        raise BenchmarkError(f"{server.name}: POST {path} gave {response.status} {text[:80]!r}, not an echo")


def measure(sizes: Sizes, left_out: dict[str, str]) -> tuple[Measured, dict[str, float]]:
    """Measure each contender at each number of connections, and the memory of each at the end."""
    found: Measured = {}
    with all_serving(left_out) as servers:

        def load(connections: int, name: str, seconds: int = sizes.seconds) -> Load:
            url = servers[name].url.rstrip("/") + CONTENDERS[name].path
            seen = harness.wrk(url, connections=connections, seconds=seconds, body=PAYLOAD)
            if seen.errors or seen.not_2xx:
                raise BenchmarkError(f"{name}: {seen.errors:g} requests failed, {seen.not_2xx:g} were refused")
            return seen

        for name in servers:
            load(max(CONNECTIONS), name, sizes.warm_up_s)
        for connections in CONNECTIONS:
            by_name = harness.interleaved(tuple(servers), functools.partial(load, connections), sizes.repeats)
            for name, loads in by_name.items():
                found.setdefault(name, {})[connections] = loads
            rates = ", ".join(f"{name} {harness.median_load(loads).rps:,.0f}" for name, loads in by_name.items())
            harness.progress(f"c={connections}: {rates} requests/s")
        memory_mib = {name: server.memory_mib() for name, server in servers.items()}
    return found, memory_mib


def rows(found: Measured) -> list[dict[str, object]]:
    """Return rates and latencies beside each peer, and how far Starlette and the bare server are."""

    def seen(name: str, connections: int, key: str) -> list[float]:
        return [getattr(load, key) for load in found.get(name, {}).get(connections, [])]

    def rate(metric: str, name: str, peer: str, connections: int, goal: str | None = None) -> dict[str, object]:
        value, peer_value = (seen(one, connections, "rps") for one in (name, peer))
        return harness.row(f"{metric} c={connections}", value, "rps", peer=peer, peer_value=peer_value, goal=goal)

    def added(kind: str) -> dict[str, object]:
        pairs = zip(seen(f"dilu {kind}", 1, "p50_us"), seen("bare server", 1, "p50_us"), strict=True)
        value = [mine - bare for mine, bare in pairs]
        return harness.row(f"{kind} p50 over the bare server c=1", value, "us", goal="value <= 100")

    def latency(kind: str, peer: str) -> dict[str, object]:
        mine, theirs = seen(f"dilu {kind}", 1, "p50_us"), seen(peer, 1, "p50_us")
        return harness.row(f"{kind} p50 c=1", mine, "us", peer=peer, peer_value=theirs)

    kinds = ("sync", "async")
    starlettes = ("starlette", "starlette, msgspec")
    return [
        *(rate(kind, f"dilu {kind}", f"fastapi {kind}", 16, "ratio >= 2") for kind in kinds),
        *(rate(kind, f"dilu {kind}", f"fastapi {kind}", 64) for kind in kinds),
        *(added(kind) for kind in kinds),
        *(latency(kind, peer) for kind in kinds for peer in (f"fastapi {kind}", *starlettes, "bare server")),
        *(rate(f"stretch: {kind}", f"dilu {kind}", peer, 16) for kind in kinds for peer in starlettes),
        *(rate(f"limit: {kind}", f"dilu {kind}", "bare server", 16) for kind in kinds),
    ]


def main() -> None:
    options = harness.arguments(__doc__)
    harness.pin_client()
    sizes = QUICK if options.quick else FULL
    left_out: dict[str, str] = {}
    found, memory_mib = measure(sizes, left_out)
    details = {
        "loads": {name: {f"c={many}": load for many, load in loads.items()} for name, loads in found.items()},
        "memory_mib": {name: round(mib, 1) for name, mib in memory_mib.items()},
        "left_out": left_out,
        "sizes": asdict(sizes),
        "payload_bytes": len(PAYLOAD),
    }
    harness.write_result(NAME, rows(found), details=details, options=options, packages=PACKAGES)


if __name__ == "__main__":
    main()
