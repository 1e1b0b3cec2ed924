"""The owner of a `ScaleLoop` under asyncio: it sleeps until a function is due or poked, and runs the loop then.

Local mode and Knative run their loops with it; the simulator runs its loop by its own virtual clock.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Final

from dilu_autoscaler.loop import ScaleLoop, Tick
from dilu_autoscaler.ports import Clock

BATCH_S: Final = 0.02
"""Functions that become due within this time are decided on together. Pokes do not wait for it."""
CLOCK_STEP_S: Final = 2.0
"""A change of the loop's clock against the monotonic one by more than this means that the clock was set."""
OVERRUN_S: Final = 1.0
"""A tick that runs later than this after its due time counts as an overrun."""
_log = logging.getLogger(__name__)


class LoopDriver:
    """Runs a loop. All calls come from the one asyncio loop that `run` runs on; only `wake` needs no loop at all."""

    def __init__(
        self,
        loop: ScaleLoop,
        clock: Clock,
        *,
        on_tick: Callable[[Tick], None],
        on_clock_set: Callable[[bool], None] | None = None,
    ) -> None:
        """`on_tick` gets each tick; `on_clock_set` whether the clock that was set went back, before the loop runs."""
        self.overruns = 0
        self.clock_set_s = -math.inf
        """When the clock was last found to have been set, on the monotonic clock."""
        self._loop = loop
        self._clock = clock
        self._on_tick = on_tick
        self._on_clock_set = on_clock_set
        self._woken = asyncio.Event()
        self._ahead_s: float | None = None  # of the loop's clock against the monotonic one
        self._last_now_s = -math.inf

    def poke(self, function: str) -> None:
        """Decide on a function now; see `ScaleLoop.poke`."""
        self._loop.poke(function)
        self._woken.set()

    def wake(self) -> None:
        """Run what has become due by a call of the loop, such as `add` and `update`."""
        self._woken.set()

    async def run(self) -> None:
        """Decide whenever a function is due, until cancelled."""
        while True:
            await self._until_due()
            self.run_due()

    def run_due(self) -> None:
        """Make every decision that is due now and pass it on. An `on_tick` that raises is logged."""
        now_s, due_s = self._clock.now_s(), self._loop.next_due_s()
        if due_s is not None and now_s - due_s > OVERRUN_S:
            self.overruns += 1
        self._compare_clocks(now_s)
        for tick in self._loop.run_due():
            try:
                self._on_tick(tick)
            except Exception:  # what fails for one function must not stop the others
                _log.exception("fn=%s its tick could not be passed on", tick.function)

    async def _until_due(self) -> None:
        if not self._woken.is_set():
            due_s = self._loop.next_due_s()
            wait_s = None if due_s is None else max(BATCH_S, due_s - self._clock.now_s())
            timer = None if wait_s is None else asyncio.get_running_loop().call_later(wait_s, self._woken.set)
            try:
                await self._woken.wait()
            finally:
                if timer is not None:
                    timer.cancel()
        self._woken.clear()

    def _compare_clocks(self, now_s: float) -> None:
        monotonic_s = time.monotonic()
        ahead_s, ahead_before_s = now_s - monotonic_s, self._ahead_s
        is_set = ahead_before_s is not None and abs(ahead_s - ahead_before_s) > CLOCK_STEP_S
        went_back = now_s < self._last_now_s - CLOCK_STEP_S
        self._ahead_s = ahead_s
        self._last_now_s = now_s if went_back else max(self._last_now_s, now_s)
        if not is_set and not went_back:
            return
        self.clock_set_s = monotonic_s
        if self._on_clock_set is not None:
            self._on_clock_set(went_back)
