"""One accepted request on its way through the queue and the handler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def _never() -> bool:
    return False


@dataclass(slots=True, eq=False)
class Job:
    """An accepted request; `answer` is resolved on the server's loop with the handler's result or error."""

    item: Any
    request_id: str
    arrived_s: float  # monotonic
    answer: asyncio.Future[Any]
    is_abandoned: Callable[[], bool] = _never  # whether its client has gone away; may be asked from any thread
    started_s: float = 0.0  # monotonic time at which its batch began to run; 0.0 until then


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutcome:
    """What one call of the handler gave: a result for each job, or one error for all of them."""

    jobs: list[Job]
    started_s: float
    finished_s: float
    results: list[Any] | None
    error: BaseException | None
