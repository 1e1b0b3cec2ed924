"""The parts of one streamed answer, passed from the handler's thread to the server's loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from dilu.errors import RequestError

# Parts that may wait for their client. With more the handler pauses ...
MAX_UNREAD_PARTS = 64
# ... for at most this time in all. Then the reader is cut: it must not hold the model, for which other requests wait.
PATIENCE_S = 1.0
_EARNED_S = 0.01  # of patience for each part that the client reads, so that only a stream that hardly moves is cut
POLL_S = 0.001


class PartStream:
    """A queue of parts: `put` is for the handler's thread or loop, `read` for the server's loop that created it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parts: deque[Any] = deque()
        self._wake_pending = False
        self._came = asyncio.Event()
        self._answer: asyncio.Future[Any] | None = None
        self._patience_s = PATIENCE_S
        self.is_cut = False

    def put(self, part: Any) -> None:
        """Add one part. Parts that are added before the loop runs share one wake-up."""
        if self.is_cut:
            return
        self._parts.append(part)
        if not self._wake_pending:
            self._wake_pending = True
            self._loop.call_soon_threadsafe(self._wake)

    @property
    def is_behind(self) -> bool:
        """Whether the handler should pause because more than `MAX_UNREAD_PARTS` wait for their client."""
        return len(self._parts) > MAX_UNREAD_PARTS and not self.is_cut

    def paused(self, seconds: float) -> None:
        """Count a pause of the handler for this stream, and cut the stream when its patience is used up."""
        self._patience_s -= seconds
        if self._patience_s <= 0.0:
            self.cut()

    def cut(self) -> None:
        """Stop the stream: the handler should stop, and unread parts are dropped."""
        self.is_cut = True
        self._parts.clear()

    async def read(self, answer: asyncio.Future[Any]) -> AsyncIterator[Any]:
        """Yield all parts until `answer` is done, then raise its error if it has one."""
        answer.add_done_callback(lambda _: self._came.set())
        while True:
            while self._parts:
                self._patience_s = min(PATIENCE_S, self._patience_s + _EARNED_S)
                yield self._parts.popleft()
            if self.is_cut:
                if answer.done():
                    answer.result()  # raises if the deadline has passed
                raise RequestError(
                    500,
                    "slow-reader",
                    f"the client left more than {MAX_UNREAD_PARTS} parts unread for more than {PATIENCE_S:g} s",
                )
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
