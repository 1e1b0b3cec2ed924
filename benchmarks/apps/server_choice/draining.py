"""How an embedded server ends after SIGTERM: by its own drain, or by ours."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

from apps.server_choice.application import STATE


def on_sigterm(end: Callable[[], object], *, ours: bool) -> None:
    """Start the drain when SIGTERM arrives."""
    loop = asyncio.get_running_loop()
    kept: list[asyncio.Task[None]] = []  # the loop itself holds its tasks only weakly
    loop.add_signal_handler(signal.SIGTERM, lambda: kept.append(loop.create_task(_drained(end, ours=ours))))


async def _drained(end: Callable[[], object], *, ours: bool) -> None:
    """End the server. `ours`: first answer `Connection: close` until no request came for 0.3 s."""
    if ours:
        STATE.draining = True
        began_s = STATE.last_arrival_s = time.monotonic()
        while STATE.in_flight or time.monotonic() - STATE.last_arrival_s < 0.3:
            await asyncio.sleep(0.01)
            if time.monotonic() - began_s > 10:
                break
    end()
