"""Whether a request can still meet its objective: pure rules that the runtime and the simulator share.

A replica knows how long a batch takes (`ExecutionFit`), which batches run, and how many requests stand before a new
one. So it knows when the new one will be answered, and can refuse at once, while there is time to go elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dilu.batching import BatchRule, ExecutionFit

# Of the answers that were promised in time, this share may come later than promised.
_LATE_RATIO = 0.01
# One step of the learned margin, as a share of the objective: large enough to follow, small enough to be calm.
_STEP_RATIO = 0.02
_LARGEST_MARGIN_RATIO = 0.5  # of the objective; beyond that the promise itself is worth nothing


def answer_after_s(
    rule: BatchRule, fit: ExecutionFit, *, ahead: int, running_s: Sequence[float], slots: int, now_s: float = 0.0
) -> float:
    """Seconds until a request would be answered that came now.

    `ahead` requests wait before it; `running_s` are the times at which the running batches began (each with its
    size would be better known, but a full one is what an overload runs); `slots` batches may run at once.

    >>> fit = ExecutionFit(fixed_s=0.010, per_item_s=0.001)
    >>> answer_after_s(BatchRule(max_size=10), fit, ahead=0, running_s=[], slots=1)
    0.011
    >>> answer_after_s(BatchRule(max_size=10), fit, ahead=15, running_s=[0.0], slots=1, now_s=0.005)
    0.055
    """
    size = rule.size_for(fit)
    full_s = fit.execution_s(size)
    batches_before, place = divmod(ahead, size)
    if not running_s and not batches_before:
        return fit.execution_s(place + 1)
    free_after_s = sorted(max(0.0, began_s + full_s - now_s) for began_s in running_s)
    free_after_s = [0.0] * (slots - len(free_after_s)) + free_after_s
    rounds, slot = divmod(batches_before, slots)
    return free_after_s[slot] + (rounds + 1) * full_s


def retry_after_s(answer_s: float, objective_s: float) -> int:
    """Whole seconds after which the wait will have shrunk to what the objective allows; at least 1."""
    return max(1, math.ceil(answer_s - objective_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """How much later than predicted answers come, learned so that all but one in a hundred keep their promise.

    After each promised answer the margin grows a little if the answer was later than promised, and shrinks by a
    hundredth of that if it was not: it settles where one in a hundred is late (a stochastic quantile estimate).
    """

    margin_s: float = 0.0

    def learned(self, *, late_s: float, objective_s: float) -> Margin:
        """The margin after one more answer, which came `late_s` after its prediction (negative: before)."""
        step_s = _STEP_RATIO * objective_s
        change_s = step_s * (1.0 - _LATE_RATIO) if late_s > self.margin_s else -step_s * _LATE_RATIO
        return Margin(margin_s=min(max(0.0, self.margin_s + change_s), _LARGEST_MARGIN_RATIO * objective_s))
