"""What our gateway adds to a request, beside nginx and a small proxy made of libraries, all in front of one replica.

    python benchmarks/gateway.py [--quick]

`dilu up` runs as its users run it, with one replica of an async echo. Each proxy has the first core to itself while it
is measured; the replica and the client share the second one. nginx is a plain reverse proxy of one worker, the other
peer an ASGI application on uvicorn with aiohttp's client; both send to the replica of our `dilu up`, and so does the
client that sends directly. All keep their connections, write no access log, and have the same warm-up and repeats.

The replica and the client can be what limits a rate: the CPU time per request is a proxy's own cost, and the details
name the busy part. What a proxy adds at one connection includes that the two cores wake each other, which a direct
request does not need.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import harness
from harness import BenchmarkError, Load, Server

NAME: Final = "gateway"
PACKAGES: Final = ("dilu", "uvicorn", "httptools", "uvloop", "aiohttp", "msgspec", "flask", "a2wsgi")
FUNCTION: Final = "benchmarks/apps/gateway_echo.py:echo"
PAYLOAD: Final = json.dumps([round(math.sin(n), 6) for n in range(64)]).encode()
CONNECTIONS: Final = (1, 16, 64)
DIRECT, OURS, NGINX, AIOHTTP = "direct", "dilu up", "nginx", "uvicorn + aiohttp"
PEERS: Final = (NGINX, AIOHTTP)
_MAX_WAIT_S: Final = 30.0
_EVENTS_APART_S: Final = 0.005  # the replica sends them 20 ms apart; closer than this they were held back
_BUSY_RATIO: Final = 0.95  # of a core
_QUIET_RATIO: Final = 0.1
_CORES: Final = {f"cpu{core}" for core in (harness.SERVER_CORE, harness.CLIENT_CORE)}
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")

# Without the two keepalive_requests nginx would leave each connection after 1000 requests.
_NGINX: Final = """
%(user)s worker_processes 1; pid nginx.pid; error_log stderr;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 100000000; client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream replica { server 127.0.0.1:%(port)d; keepalive 128; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:{port};
    location / { proxy_pass http://replica; proxy_http_version 1.1; proxy_set_header Connection ""; }
    location /events {
      proxy_pass http://replica; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }
  }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How long and how often."""

    seconds: int
    repeats: int
    streams: int  # in each repeat


FULL: Final = Sizes(seconds=3, repeats=9, streams=50)
QUICK: Final = Sizes(seconds=1, repeats=2, streams=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to the replica: its port, and the processes in between."""

    port: int
    proxies: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """The one replica of our `dilu up`."""

    pid: int
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """CPU time of a turn: the proxy's for one request, and what each used of a core.

    `others_ratio` is the share of both cores that all other processes took, the host of a virtual machine included;
    the figures are valid only if it is small.
    """

    proxy_us: float
    proxy_ratio: float
    replica_ratio: float
    client_ratio: float
    others_ratio: float

    @property
    def busiest(self) -> str:
        """The part that had no time left, or took it from the others."""
        if self.others_ratio >= _QUIET_RATIO:
            return "others: the machine was not quiet"
        if self.proxy_ratio >= _BUSY_RATIO:
            return "the proxy"
        shared = self.replica_ratio + self.client_ratio >= _BUSY_RATIO
        return "the core of replica and client" if shared else "none"


Measured = dict[str, dict[int, list[tuple[Load, Use]]]]  # by way and number of connections, then by repeat


@contextlib.contextmanager
def all_ways() -> Iterator[tuple[dict[str, Way], Replica]]:
    """Open every way to the one replica; raise BenchmarkError if one does not echo, or the replica is replaced."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dilu-bench-")))
        platform = stack.enter_context(our_platform(folder))
        try:
            check_echo(OURS, platform.port)  # the gateway holds it until the replica is ready
        except BenchmarkError as error:
            raise BenchmarkError(f"{error}. Its last lines:\n{platform.last_lines()}") from error
        replica = the_replica(folder)
        pin(replica.pid, harness.CLIENT_CORE)
        nginx = stack.enter_context(nginx_before(replica, folder))
        peer = stack.enter_context(aiohttp_before(replica))
        ways = {
            DIRECT: Way(port=replica.port),
            OURS: Way(port=platform.port, proxies=(platform.process.pid,)),
            NGINX: Way(port=nginx.port, proxies=tuple(nginx.processes())),
            AIOHTTP: Way(port=peer.port, proxies=tuple(peer.processes())),
        }
        for name, way in ways.items():
            check_echo(name, way.port)
        yield ways, replica
        if the_replica(folder) != replica:
            raise BenchmarkError(f"{OURS}: its replica was replaced while it was measured")


def our_platform(folder: Path) -> contextlib.AbstractContextManager[Server]:
    """Start `dilu up` of the echo with exactly one replica and its own run directory."""
    command = (sys.executable, "-m", "dilu", "up", FUNCTION, "--port", "{port}", "--min", "1", "--max", "1")
    return harness.serving(OURS, command, ready="/_dilu/healthz", env=_environment(folder))


def nginx_before(replica: Replica, folder: Path) -> contextlib.AbstractContextManager[Server]:
    """Start Debian's nginx as a plain reverse proxy that writes into the folder only."""
    # As root, its worker would be another user, who cannot read the folder.
    settings = _NGINX % {"port": replica.port, "user": "user root;" if os.geteuid() == 0 else ""}
    script = 'printf %s "$1" > "$2/nginx.conf" && exec "$0" -e stderr -p "$2" -c nginx.conf -g "daemon off;"'
    return harness.serving(NGINX, ("sh", "-c", script, harness.require_tool("nginx"), settings, str(folder)), ready="/")


def aiohttp_before(replica: Replica) -> contextlib.AbstractContextManager[Server]:
    """Start the proxy made of libraries, on the same server and loop as our gateway."""
    command = (
        *(sys.executable, "-m", "uvicorn", "--app-dir", "benchmarks/apps", "gateway_aiohttp:app", "--port", "{port}"),
        *("--http", "httptools", "--loop", "uvloop", "--ws", "none", "--lifespan", "on"),
        *("--no-access-log", "--log-level", "warning"),
    )
    return harness.serving(AIOHTTP, command, ready="/", env={"UPSTREAM": f"http://127.0.0.1:{replica.port}"})


def the_replica(folder: Path) -> Replica:
    """Return the only replica of `dilu ps`. Raises BenchmarkError unless there is one that never restarted."""
    command = [sys.executable, "-m", "dilu", "ps", "--json"]
    done = subprocess.run(command, env={**os.environ, **_environment(folder)}, capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchmarkError(f"dilu ps: {done.stderr.strip()}")
    replicas = json.loads(done.stdout)["functions"][0]["replicas"]
    if len(replicas) != 1 or replicas[0]["state"] != "ready" or replicas[0]["restarts"]:
        raise BenchmarkError(f"{OURS}: one ready replica was expected, not {replicas}")
    return Replica(pid=replicas[0]["pid"], port=replicas[0]["port"])


def _environment(folder: Path) -> dict[str, str]:
    return {"DILU_RUN_DIR": str(folder)}


def pin(pid: int, core: int) -> None:
    """Keep the process, with all present and future threads, on the core."""
    while stray := [thread for thread in _threads(pid) if os.sched_getaffinity(thread) != {core}]:
        for thread in stray:
            os.sched_setaffinity(thread, {core})


def _threads(pid: int) -> list[int]:
    return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]


def check_echo(name: str, port: int) -> None:
    """Raise BenchmarkError unless the answer on this way is what was sent."""
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=_MAX_WAIT_S)) as connection:
        connection.request("POST", "/", PAYLOAD, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    if response.status != 200 or json.loads(text) != json.loads(PAYLOAD):
        raise BenchmarkError(f"{name}: POST / gave {response.status} {text[:80]!r}, not an echo")


def one_load(way: Way, replica: Replica, connections: int, seconds: int) -> tuple[Load, Use]:
    """Return the load that the client measured on this way, and its use of the cores."""

    def clocks_s() -> tuple[float, ...]:
        return time.monotonic(), cpu_s(way.proxies), cpu_s((replica.pid,)), _client_cpu_s(), cores_busy_s()

    before = clocks_s()
    load = harness.wrk(f"http://127.0.0.1:{way.port}/", connections=connections, seconds=seconds, body=PAYLOAD)
    wall_s, *used_s = (later - earlier for later, earlier in zip(clocks_s(), before, strict=True))
    proxy_s, replica_s, client_s, cores_s = used_s
    use = Use(
        proxy_us=proxy_s * 1e6 / load.requests if load.requests else math.nan,
        proxy_ratio=proxy_s / wall_s,
        replica_ratio=replica_s / wall_s,
        client_ratio=client_s / wall_s,
        others_ratio=max(0.0, (cores_s - proxy_s - replica_s - client_s) / wall_s / len(_CORES)),
    )
    return load, use


def cpu_s(pids: Sequence[int]) -> float:
    """Return the CPU time that the processes, with all their threads, have used so far."""
    ticks = 0
    for pid in pids:
        # The command's name may hold blanks: read behind its bracket.
        rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(rest[11]) + int(rest[12])  # user and system
    return ticks / _TICKS_PER_S


def cores_busy_s() -> float:
    """Return the time for which the two cores have not been idle so far, by any process."""
    ticks = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *spent = line.split()
        if name in _CORES:
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(one) for one in spent[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / _TICKS_PER_S


def _client_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # wrk, once it has ended
    return used.ru_utime + used.ru_stime


def median_use(uses: Sequence[Use]) -> Use:
    """Return the median of each field."""
    return Use(**{item.name: statistics.median(getattr(use, item.name) for use in uses) for item in fields(Use)})


def first_chunk_us(name: str, way: Way, streams: int) -> float:
    """Return the median time from a request to the first piece of its stream, on one connection that is kept.

    Raises BenchmarkError if that piece was held back until the second one.
    """
    with contextlib.closing(HTTPConnection("127.0.0.1", way.port, timeout=_MAX_WAIT_S)) as connection:
        connection.connect()
        times_s = [_stream_s(name, connection) for _ in range(streams)]
    apart_s = statistics.median(end_s - first_s for first_s, end_s in times_s)
    if apart_s < _EVENTS_APART_S:
        raise BenchmarkError(f"{name}: the first event comes {apart_s * 1e3:.1f} ms before the end: it was held back")
    return statistics.median(first_s for first_s, _ in times_s) * 1e6


def _stream_s(name: str, connection: HTTPConnection) -> tuple[float, float]:
    """Return the seconds to the first piece and to the end."""
    began_s = time.monotonic()
    connection.request("GET", "/events")
    response = connection.getresponse()
    first = response.read1()
    first_s = time.monotonic() - began_s
    whole = first + response.read()
    if response.status != 200 or whole != b"data: first\n\ndata: second\n\n":
        raise BenchmarkError(f"{name}: GET /events gave {response.status} {whole[:80]!r}")
    return first_s, time.monotonic() - began_s


def measure(sizes: Sizes) -> tuple[Measured, dict[str, list[float]]]:
    """Measure load and use of each way at each number of connections, and the times to the first chunk."""
    found: Measured = {}
    with all_ways() as (ways, replica):

        def load(connections: int, name: str) -> tuple[Load, Use]:
            return one_load(ways[name], replica, connections, sizes.seconds)

        for name, way in ways.items():  # connections, code paths and caches, so that no first turn pays for them
            harness.wrk(f"http://127.0.0.1:{way.port}/", connections=max(CONNECTIONS), seconds=1, body=PAYLOAD)
            first_chunk_us(name, way, 2)
        for connections in CONNECTIONS:
            by_name = harness.interleaved(tuple(ways), functools.partial(load, connections), sizes.repeats)
            for name, seen in by_name.items():
                found.setdefault(name, {})[connections] = seen
            rates = ", ".join(
                f"{name} {harness.median_load([load for load, _ in seen]).rps:,.0f}" for name, seen in by_name.items()
            )
            harness.progress(f"c={connections}: {rates} requests/s")
        streams = harness.interleaved(
            tuple(ways), lambda name: first_chunk_us(name, ways[name], sizes.streams), sizes.repeats
        )
    return found, streams


def rows(found: Measured, first_us: Mapping[str, Sequence[float]]) -> list[dict[str, object]]:
    """Return our gateway beside each peer: what it adds, how much passes through it, what it costs."""
    table: list[tuple[str, Mapping[str, Sequence[float]], str, str | None]] = [
        ("added p50 c=1", _over_direct(_loads(found, 1, "p50_us")), "us", "value <= 500"),
        ("rate c=16", _loads(found, 16, "rps"), "rps", "value >= 3000"),
        ("rate c=64", _loads(found, 64, "rps"), "rps", "value >= 3000"),
        ("p99 c=16", _loads(found, 16, "p99_us"), "us", None),
        ("p99 c=64", _loads(found, 64, "p99_us"), "us", None),
        ("CPU per request c=16", _costs_us(found, 16), "us", None),
        ("CPU per request c=64", _costs_us(found, 64), "us", None),
        ("added to a stream's first chunk", _over_direct(first_us), "us", None),
        ("failed requests, all loads", _failed(found), "requests", "value == 0"),
    ]
    return [
        # The goal is ours alone, so it stands in one row only.
        harness.row(
            metric, values[OURS], unit, peer=peer, peer_value=values[peer], goal=goal if peer == NGINX else None
        )
        for metric, values, unit, goal in table
        for peer in PEERS
    ]


def _loads(found: Measured, connections: int, key: str) -> dict[str, list[float]]:
    return {name: [getattr(load, key) for load, _ in seen[connections]] for name, seen in found.items()}


def _costs_us(found: Measured, connections: int) -> dict[str, list[float]]:
    return {name: [use.proxy_us for _, use in seen[connections]] for name, seen in found.items()}


def _over_direct(values: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    direct = values[DIRECT]  # of the same repeat
    return {name: [one - bare for one, bare in zip(each, direct, strict=True)] for name, each in values.items()}


def _failed(found: Measured) -> dict[str, list[float]]:
    """Return the sum over all loads: a failure in one repeat must not vanish in a median."""
    return {
        name: [sum(load.errors + load.not_2xx for repeats in seen.values() for load, _ in repeats)]
        for name, seen in found.items()
    }


def described(repeats: Sequence[tuple[Load, Use]]) -> dict[str, object]:
    """Return the medians of load and use for the result file, with the rate that a core of the proxy would allow."""
    load, use = harness.median_load([load for load, _ in repeats]), median_use([use for _, use in repeats])
    by_cpu_rps = 1e6 / use.proxy_us if use.proxy_us else None
    numbers = {key: float(f"{value:.4g}") for key, value in {**asdict(load), **asdict(use)}.items()}
    return {**numbers, "rate_by_proxy_cpu_rps": by_cpu_rps and round(by_cpu_rps), "busy": use.busiest}


def main() -> None:
    options = harness.arguments(__doc__)
    harness.pin_client()
    sizes = QUICK if options.quick else FULL
    nginx = harness.require_tool("nginx")
    found, first_us = measure(sizes)
    details = {
        "ways": {name: {f"c={many}": described(each) for many, each in seen.items()} for name, seen in found.items()},
        "first_chunk_us": {name: [round(one, 1) for one in values] for name, values in first_us.items()},
        "nginx": subprocess.run([nginx, "-v"], capture_output=True, text=True).stderr.strip(),
        "cores": {"proxy": harness.SERVER_CORE, "replica and client": harness.CLIENT_CORE},
        "sizes": asdict(sizes),
        "payload_bytes": len(PAYLOAD),
    }
    harness.write_result(NAME, rows(found, first_us), details=details, options=options, packages=PACKAGES)


if __name__ == "__main__":
    main()
