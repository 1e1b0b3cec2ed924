"""The search for the setting with which a peer has the highest goodput under overload."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import harness
from admission_comparison.contenders import Contender, Search, Setting
from admission_comparison.loads import Seen
from harness import BenchmarkError


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One setting that was tried; None where the peer did not run with it."""

    setting: Setting
    contender: Contender
    seen: Seen | None

    @property
    def score(self) -> tuple[float, float]:
        """Goodput, and of settings without any the one with more answers."""
        return (self.seen.goodput_rps, self.seen.accepted_rps) if self.seen is not None else (-1.0, -1.0)


def search(plan: Search, measure: Callable[[Contender], Seen]) -> list[Trial]:
    """Try the values of each option at the best of the options before it, and return all trials, the best first.

    Without options there is nothing to try: the one setting is returned unmeasured.
    """
    if not plan.options:
        return [Trial(setting=plan.first, contender=plan.make(plan.first), seen=None)]
    trials: dict[str, Trial] = {}
    best = dict(plan.first)

    def try_setting(setting: Setting) -> None:
        contender = plan.make(setting)
        if contender.name not in trials:
            trials[contender.name] = Trial(setting=setting, contender=contender, seen=_try(contender, measure))

    try_setting(best)
    for option, values in plan.options.items():
        for value in values:
            try_setting({**best, option: value})
        best = dict(_best_first(trials.values())[0].setting)
    ranked = _best_first(trials.values())
    for trial in ranked:
        harness.progress(f"  searched: {trial.contender.name}: {trial.score[0]:,.0f} good a second")
    return ranked


def _try(contender: Contender, measure: Callable[[Contender], Seen]) -> Seen | None:
    try:
        return measure(contender)
    except BenchmarkError as error:
        harness.progress(f"{contender.name}: {error}")
        return None


def _best_first(trials: Iterable[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda trial: trial.score, reverse=True)
