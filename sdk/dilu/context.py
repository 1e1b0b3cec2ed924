"""The request behind an item, passed to handlers with a parameter named `ctx`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dilu.spec import names

if TYPE_CHECKING:
    from dilu.events import Event


def _never() -> bool:
    return False


@dataclass(slots=True, kw_only=True, eq=False)
class Context:
    """One request. A handler of single items gets it as `ctx`, a batched one a list with one for each item."""

    request_id: str
    deadline_s: float | None = None  # on the clock of `time.monotonic`; None: no deadline
    urgency: int = names.DEFAULT_URGENCY  # 0 (most urgent) to 7, from the Priority header (RFC 9218)
    event: Event | None = None  # the CloudEvent that carried the item; None if none did
    traceparent: str | None = None  # the W3C trace context of the request, unparsed
    is_abandoned: Callable[[], bool] = _never

    @property
    def cancelled(self) -> bool:
        """Whether the answer is no longer needed: the client has disconnected, or the deadline has passed."""
        remaining_s = self.remaining_s()
        return self.is_abandoned() or (remaining_s is not None and remaining_s <= 0.0)

    def remaining_s(self) -> float | None:
        """Return the seconds until the deadline (negative: it has passed), or None without one."""
        return None if self.deadline_s is None else self.deadline_s - time.monotonic()
