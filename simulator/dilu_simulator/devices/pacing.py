"""When a vertical rule has to be called again although nobody came, went, began or ended: after how many ticks.

A node agent calls its rule in every tick. Most of those calls change nothing, so a simulation leaves them out: it calls
the rule when a GPU's inputs change, and then only as long as the rule itself is on its way somewhere. How long that is
depends on what a rule remembers, so each has its pace here. A rule that is not known is called in every tick in which
anyone has work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dilu_autoscaler.policy.vertical import QUOTA_POLICIES, QuotaInputs, QuotaPolicy, QuotaState, quota_policy_named

Pace = Callable[[QuotaInputs, QuotaState, bool], int]
"""Ticks until the grants of one GPU could change by themselves, given whether they just did; 0: they will not."""
Reach = Callable[[int, int, int], int]
"""The most that a tenant with that request and limit could be granted where so much is left for it."""

_PAPER_WINDOW_TICKS: Final = 100
_TGS_WINDOW_TICKS: Final = 10
_WHOLE_MILLI: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertical:
    """A vertical rule, and what calling it only when needed takes."""

    name: str
    rule: QuotaPolicy
    counts_ticks: bool
    """Whether it remembers how time passed, so that it must see the old inputs until the moment they change. The others
    remember nothing but their last grants."""
    pace: Pace
    reach: Reach


def vertical_for(chosen: str | QuotaPolicy) -> Vertical:
    """The rule of that name, or a researcher's own; raises `ConfigError` with the names there are."""
    if callable(chosen):
        name = next((name for name, rule in QUOTA_POLICIES.items() if rule is chosen), None)
        if name is None:
            own = getattr(chosen, "__name__", "own")
            return Vertical(name=own, rule=chosen, counts_ticks=True, pace=_every_tick, reach=_up_to_limit)
        chosen = name
    rule = quota_policy_named(chosen)
    counts_ticks, pace = _PACES.get(chosen, (True, _every_tick))
    reach = _REACHES.get(chosen, _up_to_limit)
    return Vertical(name=chosen, rule=rule, counts_ticks=counts_ticks, pace=pace, reach=reach)


def _up_to_limit(request: int, limit: int, left: int) -> int:
    return min(limit, _WHOLE_MILLI, max(request, left))


def _all(request: int, limit: int, left: int) -> int:
    return _WHOLE_MILLI


def _only_request(request: int, limit: int, left: int) -> int:
    return request


def _never(inputs: QuotaInputs, state: QuotaState, changed: bool) -> int:
    return 0


def _every_tick(inputs: QuotaInputs, state: QuotaState, changed: bool) -> int:
    return 1 if any(inputs.work) else 0


def _until_calm(inputs: QuotaInputs, state: QuotaState, changed: bool) -> int:
    """Shares move by a step a tick, and follow who is late: as long as anyone is."""
    if sum(inputs.work) < 2:
        return 0
    if changed:
        return 1
    columns = zip(inputs.work, inputs.sensitive, inputs.slack_us, strict=True)
    return int(any(work and sensitive and slack_us < 0 for work, sensitive, slack_us in columns))


def _by_idle_windows(inputs: QuotaInputs, state: QuotaState, changed: bool) -> int:
    """Shares grow from tick to tick, and someone's idle window may become full."""
    if not any(inputs.work):
        return 0
    if changed:
        return 1
    left = [_PAPER_WINDOW_TICKS - idle for idle in state.idle_ticks if 0 < idle < _PAPER_WINDOW_TICKS]
    # Who has been idle for less than a tick counts as well: nothing says so but the work that is missing.
    left += [
        _PAPER_WINDOW_TICKS for idle, work in zip(state.idle_ticks, inputs.work, strict=True) if not idle and not work
    ]
    return min(left, default=0)


def _by_turns(inputs: QuotaInputs, state: QuotaState, changed: bool) -> int:
    """Partitions that do not fit together take turns."""
    wanted = sum([limit for limit, work in zip(inputs.limit_milli, inputs.work, strict=True) if work])
    return int(wanted > _WHOLE_MILLI)


def _by_rate_windows(inputs: QuotaInputs, state: QuotaState, changed: bool) -> int:
    """The others' rate is adjusted at the end of each window."""
    if len(inputs.work) < 2 or not any(inputs.work):
        return 0
    return _TGS_WINDOW_TICKS - max(state.counter) % _TGS_WINDOW_TICKS


_PACES: Final[dict[str, tuple[bool, Pace]]] = {
    "dilu": (False, _until_calm),
    "dilu-paper": (True, _by_idle_windows),
    "exclusive": (False, _never),
    "fast-gs": (True, _by_turns),
    "static-limit": (False, _never),
    "static-request": (False, _never),
    "tgs": (True, _by_rate_windows),
}
_REACHES: Final[dict[str, Reach]] = {"exclusive": _all, "static-request": _only_request}
