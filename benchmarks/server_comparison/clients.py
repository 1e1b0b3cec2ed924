"""The clients: one that always has a request on its way, and one that probes as a kubelet does."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import uvloop

import harness
from server_comparison.candidates import Found

PAYLOAD: Final = json.dumps([round(math.sin(n), 6) for n in range(64)]).encode()

T = TypeVar("T")


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop: a slow client would hide a fast server."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


@dataclass(slots=True)
class Tally:
    """What became of the requests of some clients."""

    sent: int = 0
    answered: int = 0
    lost: int = 0  # sent whole, and the connection ended before the whole answer came
    late_s: list[float] = field(default_factory=list)

    def probed(self) -> Found:
        """Return the figures of requests that were probes."""
        late_ms = harness.percentile(self.late_s, 99) * 1e3
        return {"probe_p99_ms": round(late_ms, 2), "probes": self.sent, "probes_lost": self.lost}


async def keep_asking(port: int, request: bytes, tally: Tally, stop: asyncio.Event) -> None:
    """Keep one request on the way, on one keep-alive connection, until the server closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while not stop.is_set() and not reader.at_eof():
            writer.write(request)
            tally.sent += 1
            try:
                answer = await harness.read_answer(reader)
            except (asyncio.IncompleteReadError, OSError):
                tally.lost += 1
                return
            tally.answered += 1
            if answer.closes:
                return
    finally:
        writer.close()


async def probe_until(port: int, stop: asyncio.Event, tally: Tally) -> None:
    """Probe every 20 ms as a kubelet does: a new connection each time, lost after a second."""
    request = harness.http_request("GET", "/healthz", headers="Connection: close\r\n")
    while not stop.is_set():
        tally.sent += 1
        began_s = time.monotonic()
        try:
            await harness.fetch(port, request, timeout_s=1.0)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            tally.lost += 1
        tally.late_s.append(time.monotonic() - began_s)
        await asyncio.sleep(0.02)


async def probed_for(port: int, seconds: float) -> Found:
    """Return the figures of probes over some seconds."""
    stop, tally = asyncio.Event(), Tally()
    probing = asyncio.create_task(probe_until(port, stop, tally))
    await asyncio.sleep(seconds)
    stop.set()
    await probing
    return tally.probed()
