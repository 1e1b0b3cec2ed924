"""What is measured of candidates that keep running: speed, probes beside a `predict`, a client that disconnects."""

from __future__ import annotations

import asyncio
import functools
import statistics
import time
from collections.abc import Mapping

import harness
from server_comparison.candidates import CANDIDATES, Found, seen_by
from server_comparison.clients import PAYLOAD, Tally, probe_until, run_async
from server_comparison.sizes import LOADS, Sizes


def measure_loads(servers: Mapping[str, harness.Server], found: Mapping[str, Found], sizes: Sizes) -> None:
    """Measure each of LOADS with wrk; the candidates alternate."""
    for server in servers.values():
        run_async(_warm(server.port))
    for what in sizes.loads:
        harness.progress(what)
        once = functools.partial(_load_once, servers, what, sizes.seconds)
        for name, several in harness.interleaved(CANDIDATES, once, sizes.repeats).items():
            found[name][what] = harness.median_load(several)


def _load_once(servers: Mapping[str, harness.Server], what: str, seconds: int, name: str) -> harness.Load:
    path, connections, body = LOADS[what]
    return harness.wrk(servers[name].url + path, connections=connections, seconds=seconds, body=body)


async def _warm(port: int) -> None:
    """Send some hundred requests, so that nothing is measured while threads and pools still start."""
    for path in ("/", "/thread", "/hello"):
        request = harness.http_request("GET" if path == "/hello" else "POST", path, PAYLOAD)
        for _ in range(4):
            await asyncio.gather(*(harness.fetch(port, request) for _ in range(32)))


def measure_waiting(server: harness.Server, sizes: Sizes) -> Found:
    """Measure the effect of waiting requests on memory, their own clients and the probes."""
    found: Found = {"memory_mib": server.memory_mib()}
    late_s = [run_async(_disconnect(server)) for _ in range(min(3, sizes.repeats))]
    known_s = [seconds for seconds in late_s if seconds is not None]
    found["disconnect_ms"] = statistics.median(known_s) * 1e3 if len(known_s) == len(late_s) else None
    for waiting in sizes.waiting:
        found[f"probes beside {waiting}"] = run_async(_probes_beside_predict(server, waiting))
    return found


async def _disconnect(server: harness.Server) -> float | None:
    """Return the seconds after which a waiting handler learned that its client disconnected; None: never."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(harness.http_request("POST", "/disconnected", b"[]"))
    await asyncio.sleep(0.3)
    closed_s = time.monotonic()
    writer.close()
    while time.monotonic() - closed_s < 1.0:
        await asyncio.sleep(0.05)
        learned_s: float | None = (await seen_by(server.port))["disconnected_s"]
        if learned_s is not None and learned_s > closed_s:
            return learned_s - closed_s
    return None


async def _probes_beside_predict(server: harness.Server, waiting: int) -> Found:
    """Probe while one `predict` uses the server's core and `waiting` requests wait for it."""
    request = harness.http_request("POST", "/predict", PAYLOAD)
    predicts = [asyncio.create_task(harness.fetch(server.port, request)) for _ in range(waiting)]
    await asyncio.sleep(0.1)
    stop, tally = asyncio.Event(), Tally()
    probing = asyncio.create_task(probe_until(server.port, stop, tally))
    await asyncio.wait(predicts, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await probing
    answers = await asyncio.gather(*predicts, return_exceptions=True)
    failed = sum(not isinstance(answer, harness.Answer) or answer.status != 200 for answer in answers)
    return {**tally.probed(), "predicts_failed": failed}
