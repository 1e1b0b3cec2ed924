"""An accepted item on its way through the queue and the handler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dilu.context import Context
from dilu.spec import names

if TYPE_CHECKING:
    from dilu.runtime.execution.streams import PartStream


def _never() -> bool:
    return False


@dataclass(slots=True, eq=False)
class Job:
    """An accepted item; `answer` is resolved on the server's loop with the handler's result or error."""

    item: Any
    request_id: str
    arrived_s: float  # monotonic
    answer: asyncio.Future[Any]
    is_abandoned: Callable[[], bool] = _never  # whether its client has disconnected; thread-safe
    urgency: int = names.DEFAULT_URGENCY
    deadline_s: float | None = None  # monotonic; after it the client wants no answer
    context: Context | None = None  # None if the handler does not take it
    parts: PartStream | None = None  # None if the handler does not stream
    is_whole_request: bool = True  # False: the request has more items
    paused_s: float = 0.0  # the time that the handler waited for slow readers of its batch
    promised_s: float | None = None  # monotonic time at which admission expected the answer
    started_s: float = 0.0  # monotonic time at which its batch began to run; 0.0 until then
    finished_s: float = 0.0  # ... and ended
    batch_size: int = 0

    @property
    def is_forgotten(self) -> bool:
        """Whether no client waits for it: it has its answer, or its client has disconnected. Thread-safe."""
        return self.answer.done() or self.is_abandoned()

    @property
    def is_stopped(self) -> bool:
        """Whether its stream should stop: its client has disconnected or was cut. Thread-safe."""
        return self.is_abandoned() or (self.parts is not None and self.parts.is_cut)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutcome:
    """The outcome of one call of the handler: a result for each job, or one error for all of them."""

    jobs: list[Job]
    started_s: float
    finished_s: float
    results: list[Any] | None
    error: BaseException | None
