"""What a handler may know of the request behind an item, if it asks for it with a parameter named `ctx`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dilu.events import Event

DEFAULT_URGENCY = 3  # RFC 9218


def _never() -> bool:
    return False


@dataclass(slots=True, kw_only=True, eq=False)
class Context:
    """One request. A single handler gets it as `ctx`, a batched one gets a list of them, one per item."""

    request_id: str
    deadline_s: float | None = None  # on the clock of `time.monotonic`; None: the client waits as long as it takes
    urgency: int = DEFAULT_URGENCY  # 0 (most urgent) .. 7, of the Priority header (RFC 9218)
    event: Event | None = None  # the CloudEvent that carried the item, or None
    traceparent: str | None = None  # W3C trace context as it came
    is_abandoned: Callable[[], bool] = _never

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for this item any more: its client has gone, or its deadline has passed."""
        remaining_s = self.remaining_s()
        return self.is_abandoned() or (remaining_s is not None and remaining_s <= 0.0)

    def remaining_s(self) -> float | None:
        """Seconds until the deadline (negative: it has passed), or None without one."""
        return None if self.deadline_s is None else self.deadline_s - time.monotonic()
