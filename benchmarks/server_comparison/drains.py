"""What a candidate loses when SIGTERM finds it busy."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Mapping
from typing import Final

import harness
from server_comparison.candidates import Found, start
from server_comparison.clients import PAYLOAD, Tally, keep_asking, run_async

# Label of a drain: the candidate, and whose drain it is.
DRAINS: Final = {
    "gunicorn gthread": ("gunicorn gthread", "own"),
    "granian WSGI": ("granian WSGI", "own"),
    "granian RSGI, its own drain": ("granian RSGI", "own"),
    "granian RSGI": ("granian RSGI", "ours"),
    "uvicorn, its own drain": ("uvicorn", "own"),
    "uvicorn": ("uvicorn", "ours"),
}


def measure_drains(found: Mapping[str, Found], repeats: int) -> None:
    """Drain fresh processes; return the sums of what was lost, the worst time, every exit code."""
    for label, several in harness.interleaved(list(DRAINS), _drain_once, repeats).items():
        name, kind = DRAINS[label]
        summed = {key: sum(run[key] for run in several) for key in ("lost_busy", "lost_slow", "answered")}
        codes = sorted({str(run["exit_code"]) for run in several})
        slowest_s = max(run["drain_s"] for run in several)
        found[name][f"drain {kind}"] = {**summed, "exit_codes": codes, "slowest_s": slowest_s, "runs": len(several)}


def lost(drained: Found) -> int:
    """Return the number of lost requests of one drain of `measure_drains`."""
    return int(drained["lost_busy"] + drained["lost_slow"])


def _drain_once(label: str) -> Found:
    harness.progress(f"{label}: SIGTERM")
    name, kind = DRAINS[label]
    server = start(name, drain=kind)
    try:
        return run_async(_drain(server))
    finally:
        server.stop()


async def _drain(server: harness.Server) -> Found:
    """SIGTERM while 16 connections are busy and 8 requests of 0.5 s are on their way."""
    busy, slow, stop = Tally(), Tally(), asyncio.Event()
    echoes = [keep_asking(server.port, harness.http_request("POST", "/", PAYLOAD), busy, stop) for _ in range(16)]
    tasks = [asyncio.create_task(echo) for echo in echoes]
    await asyncio.sleep(0.4)
    once = asyncio.Event()
    sleepers = [keep_asking(server.port, harness.http_request("POST", "/sleep"), slow, once) for _ in range(8)]
    tasks += [asyncio.create_task(sleeper) for sleeper in sleepers]
    await asyncio.sleep(0.15)
    once.set()
    began_s = time.monotonic()
    server.terminate()
    try:
        code: int | None = await asyncio.to_thread(server.wait, 20.0)
    except subprocess.TimeoutExpired:
        code = None  # still running: `stop` will kill it
    took_s = time.monotonic() - began_s
    stop.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
    counts = {"lost_busy": busy.lost, "lost_slow": slow.lost, "answered": busy.answered + slow.answered}
    return {**counts, "exit_code": code, "drain_s": took_s}
