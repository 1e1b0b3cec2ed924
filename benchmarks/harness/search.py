"""The search for the best setting of a peer: one option after another, each at the best of the ones before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from harness.console import BenchmarkError, progress

T = TypeVar("T")
Value = int | float | str
Setting = Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedSetting(Generic[T]):
    """One setting that was tried."""

    setting: Setting
    outcome: T | None  # None: the peer does not run with it, or there was nothing to choose from


def search(
    first: Setting,
    options: Mapping[str, tuple[Value, ...]],
    *,
    measure: Callable[[Setting], T],
    score: Callable[[T], tuple[float, ...]],
) -> list[TriedSetting[T]]:
    """Try the values of each option, in the order of `options`, and return all trials, the best first.

    `first` is tried as well; no setting is tried twice. Without options there is nothing to choose: `first` is returned
    unmeasured.
    """
    if not options:
        return [TriedSetting(setting=first, outcome=None)]
    trials: list[TriedSetting[T]] = []

    def try_setting(setting: Setting) -> None:
        if any(trial.setting == setting for trial in trials):
            return
        try:
            outcome = measure(setting)
        except BenchmarkError as error:
            progress(f"{_text(setting)}: {error}")
            trials.append(TriedSetting(setting=setting, outcome=None))
        else:
            trials.append(TriedSetting(setting=setting, outcome=outcome))
        trials.sort(key=rank, reverse=True)  # stable: of equal ones the earlier is better

    def rank(trial: TriedSetting[T]) -> tuple[bool, tuple[float, ...]]:
        return (True, score(trial.outcome)) if trial.outcome is not None else (False, ())

    try_setting(first)
    for option, values in options.items():
        best = trials[0].setting
        for value in values:
            try_setting({**best, option: value})
    for trial in trials:
        shown = "did not run" if trial.outcome is None else ", ".join(f"{one:,.4g}" for one in score(trial.outcome))
        progress(f"  tried {_text(trial.setting)}: {shown}")
    return trials


def _text(setting: Setting) -> str:
    return ", ".join(f"{option} {value}" for option, value in setting.items())
