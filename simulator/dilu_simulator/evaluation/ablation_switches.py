"""Each ingredient of the horizontal policy `dilu` switched, under generated loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Final

from dilu.load.arrivals import RateArrivals
from dilu.load.rates import Flat
from dilu_autoscaler.policy.horizontal.dilu.settings import CoscaleSpec
from dilu_simulator.evaluation.figures import Mark, Panel, Series
from dilu_simulator.evaluation.intervals import Estimate, estimate, paired
from dilu_simulator.evaluation.reports import Settings
from dilu_simulator.evaluation.tables import Column, Shown, Table
from dilu_simulator.evaluation.tasks import SingleTask, Switches
from dilu_simulator.single_function import SingleResult
from dilu_simulator.trials.loads import load_rps

FAMILIES: Final = ("bursty", "periodic", "flash")
_LOAD_S, _QUICK_LOAD_S = 600, 60
_CAPACITY_RPS: Final = 56.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationKey:
    """Which runs."""

    family: str
    switches: Switches


Switched = Mapping[AblationKey, list[SingleResult]]
"""One a seed."""


def switches() -> tuple[str, ...]:
    """Return the names of `dilu`'s ingredients: what its settings can switch off."""
    return tuple(
        field.name for field in fields(CoscaleSpec) if field.default is not MISSING and isinstance(field.default, bool)
    )


def keys_of(family: str) -> list[AblationKey]:
    """Nothing switched, then each."""
    return [AblationKey(family=family, switches=()), *(_off(family, name) for name in switches())]


def _off(family: str, name: str) -> AblationKey:
    usual = next(field.default for field in fields(CoscaleSpec) if field.name == name)
    return AblationKey(family=family, switches=((name, not usual),))


def tasks_of(key: AblationKey, settings: Settings) -> list[SingleTask]:
    """One load a seed."""
    seconds = _QUICK_LOAD_S if settings.is_quick else _LOAD_S
    return [
        SingleTask(
            policy="dilu",
            arrivals=RateArrivals(
                segments=tuple(Flat(rps=rps, duration_s=1.0) for rps in load_rps(key.family, seed, seconds)), cv=1.0
            ),
            capacity_rps=_CAPACITY_RPS,
            seed=seed,
            switches=key.switches,
        )
        for seed in settings.seeds
    ]


def switch_table(runs: Switched, family: str) -> Table:
    """Return the effect of each switch on the loads of one family."""
    return Table(
        name=f"ablation-switches-{family}",
        title=f"dilu with one ingredient switched, less dilu: {family} loads",
        columns=(
            Column(name="switched", title="switched"),
            Column(name="slo_violation_ratio", title="SLO violations", shown=Shown.PERCENT),
            Column(name="cold_starts", title="cold starts", shown=Shown.COUNT),
            Column(name="instance_seconds", title="GPU s", shown=Shown.SECONDS),
        ),
        rows=(
            ("nothing: dilu itself", *(estimate(values) for values in _numbers(runs[keys_of(family)[0]]))),
            *((_label(name), *_less(runs, family, name)) for name in switches()),
        ),
    )


def _label(name: str) -> str:
    usual = next(field.default for field in fields(CoscaleSpec) if field.name == name)
    return f"{name} {'off' if usual else 'on'}"


def _numbers(results: list[SingleResult]) -> tuple[list[float], list[float], list[float]]:
    return (
        [result.slo_violation_ratio for result in results],
        [float(result.cold_starts) for result in results],
        [result.instance_seconds for result in results],
    )


def _less(runs: Switched, family: str, name: str) -> list[Estimate | None]:
    with_all = _numbers(runs[AblationKey(family=family, switches=())])
    return [paired(own, whole) for own, whole in zip(_numbers(runs[_off(family, name)]), with_all, strict=True)]


def switch_panel(runs: Switched) -> Panel:
    """Return the effect of each switch on violations."""
    return Panel(
        title="dilu with one ingredient switched, less dilu",
        y_label="SLO violations, points",
        series=tuple(
            Series(
                label=family,
                x=tuple(_label(name) for name in switches()),
                y=tuple(_percent(_less(runs, family, name)[0]) for name in switches()),
                mark=Mark.BARS,
            )
            for family in FAMILIES
        ),
    )


def _percent(ratio: Estimate | None) -> Estimate | None:
    if ratio is None:
        return None
    half_width = None if ratio.half_width is None else 100 * ratio.half_width
    return Estimate(mean=100 * ratio.mean, half_width=half_width)
