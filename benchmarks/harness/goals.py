"""Goals of rows: a limit on the value or on the ratio to the peer, with a stated tolerance."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A limit such as "ratio <= 1", and the fraction by which a measurement may miss it and still meet it.

    >>> Goal.parse("ratio <= 1", tolerance=0.01).is_met(value=101.0, ratio=1.01)
    True
    """

    subject: str  # "value" or "ratio"
    compare: str
    limit: float
    tolerance: float

    @classmethod
    def parse(cls, text: str, *, tolerance: float = 0.0) -> Goal:
        """Read "ratio >= 2" or "value <= 100"; anything else raises ValueError."""
        subject, compare, limit = text.split()
        if subject not in ("value", "ratio") or compare not in _COMPARE:
            raise ValueError(f"goal {text!r}, must be 'value' or 'ratio', then one of {', '.join(_COMPARE)}")
        if tolerance < 0 or (tolerance and compare == "=="):
            raise ValueError(f"tolerance {tolerance:g} of goal {text!r}, must be 0 or more, and 0 with ==")
        return cls(subject=subject, compare=compare, limit=float(limit), tolerance=tolerance)

    def is_met(self, *, value: float | None, ratio: float | None) -> bool:
        """Return whether a measurement meets the goal; a missing one does not."""
        seen = value if self.subject == "value" else ratio
        if seen is None:
            return False
        slack = abs(self.limit) * self.tolerance
        bound = self.limit + slack if self.compare == "<=" else self.limit - slack
        return _COMPARE[self.compare](seen, bound)
