"""The parts of one streamed answer, from the handler's thread to the server's loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from dilu.errors import RequestError

# Parts that wait for their client. Beyond this many the handler pauses, ...
MOST_UNREAD_PARTS = 64
# ... until its patience is at an end; then the reader is too slow: it must not hold the model, which others wait for.
PATIENCE_S = 1.0
_EARNED_S = 0.01  # by each part that the client takes, so that only a stream that hardly moves is cut
LOOK_S = 0.001


class PartStream:
    """`put` is for the handler's thread or loop, iteration for the server's loop that made it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parts: deque[Any] = deque()
        self._wake_pending = False
        self._came = asyncio.Event()
        self._answer: asyncio.Future[Any] | None = None
        self._patience_s = PATIENCE_S
        self.is_cut = False

    def put(self, part: Any) -> None:
        """Hand one part on; many parts before the loop looks cost one wake-up."""
        if self.is_cut:
            return
        self._parts.append(part)
        if not self._wake_pending:
            self._wake_pending = True
            self._loop.call_soon_threadsafe(self._wake)

    @property
    def is_behind(self) -> bool:
        """Whether the handler should pause: so many parts wait for their client."""
        return len(self._parts) > MOST_UNREAD_PARTS and not self.is_cut

    def paused(self, seconds: float) -> None:
        """The handler has paused for this stream; too much of that ends the stream."""
        self._patience_s -= seconds
        if self._patience_s <= 0.0:
            self.cut()

    def cut(self) -> None:
        """Nobody reads any more: the handler should stop, and what is left may go."""
        self.is_cut = True
        self._parts.clear()

    async def read(self, answer: asyncio.Future[Any]) -> AsyncIterator[Any]:
        """All parts, until `answer` is there; raises its error after the last one."""
        answer.add_done_callback(lambda _: self._came.set())
        while True:
            while self._parts:
                self._patience_s = min(PATIENCE_S, self._patience_s + _EARNED_S)
                yield self._parts.popleft()
            if self.is_cut:
                if answer.done():
                    answer.result()  # it may say why: the time was over
                raise RequestError(500, "slow-reader", f"more than {MOST_UNREAD_PARTS} parts were left unread too long")
            if answer.done() and not self._wake_pending:
                if not self._parts:
                    break
                continue
            await self._came.wait()
            self._came.clear()
        answer.result()

    def _wake(self) -> None:
        self._wake_pending = False
        self._came.set()
