"""Event loops for tests of asyncio code: the two that the product runs on, and one whose clock jumps."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Final

import uvloop

Main = Callable[[], Awaitable[None]]
Run = Callable[[Main], None]
LOOPS: Final = ("asyncio", "uvloop")


def run(main: Main, *, loop: str = "asyncio", within_s: float = 20.0) -> None:
    """Run a test's coroutine on a loop of that name, for at most `within_s`."""

    async def limited() -> None:
        async with asyncio.timeout(within_s):
            await main()

    if loop == "uvloop":
        uvloop.run(limited())
    else:
        asyncio.run(limited())


async def until(condition: Callable[[], bool], *, within_s: float = 15.0) -> None:
    """Wait for something that other tasks bring about."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.001)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose clock begins at 0 s and jumps to the next timer as soon as everything waits."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._jumping.now_s


class _JumpingSelector(selectors.DefaultSelector):
    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everything waits, and no timer is set")
            self.now_s += max(0.0, timeout)
        return ready


def run_virtually(main: Main) -> None:
    """Run a test's coroutine on virtual time: minutes of waiting take milliseconds."""

    async def started() -> None:
        await main()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(started())


def now_s() -> float:
    """Return the time of the running loop."""
    return asyncio.get_running_loop().time()
