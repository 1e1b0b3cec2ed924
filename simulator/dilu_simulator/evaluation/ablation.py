"""Figure 15a and what each ingredient of `dilu` is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from dilu_simulator.evaluation import paper_values
from dilu_simulator.evaluation.ablation_switches import (
    FAMILIES,
    Switched,
    keys_of,
    switch_panel,
    switch_table,
    tasks_of,
)
from dilu_simulator.evaluation.comparisons import Better, Comparison
from dilu_simulator.evaluation.end_to_end import end_to_end
from dilu_simulator.evaluation.figures import PAPER, Figure, Mark, Panel, Series
from dilu_simulator.evaluation.intervals import Estimate, estimate, paired
from dilu_simulator.evaluation.paper_values import END_TO_END_VIOLATIONS, PaperValue
from dilu_simulator.evaluation.reports import Preset, Report, Settings
from dilu_simulator.evaluation.tables import Column, Shown, Table
from dilu_simulator.evaluation.tasks import ScenarioTask, TaskRunner
from dilu_simulator.results import Results

_LASTS_S, _QUICK_S = 180.0, 20.0
_ABOUT: Final = """\
**All parts together** (after Fig 15a): six inference functions with loads that burst, swing and come and go, and three
training jobs on 5 nodes of 4 GPUs for 180 s. The models are the paper's; the loads, the jobs and Exclusive's horizontal
rule (dilu-paper's) are **assumed**, so all is **predicted**, and only the order of the rows and factors between them
can be compared with the paper. -VS is without vertical scaling: every tenant has its request and no more. -RC (resource
complementarity) and -WA (workload affinity) are parts of the placement; they come with the scheduler, so only the
paper's numbers are there.

**Each ingredient of the horizontal policy `dilu`**: one function alone as in table3, under generated loads of 600 s,
one load a seed ({families}; `dilu` was not developed on {held_out}). A row has one switch off; the numbers
are its own less those of `dilu` with all on, seed by seed. An ingredient that needs a device (the vertical headroom)
shows nothing here.
"""
_WHY_FACTOR: Final = (
    "it follows from how much of the load is above the throughput at the request; the paper's loads are not printed"
)
_WHY_GPUS: Final = "who shares a GPU depends on the placement, here first fit; the scheduler comes later"


@dataclass(frozen=True, slots=True, kw_only=True)
class _System:
    policy: str
    vertical: str
    placement: str = "first-fit"
    paper: str | None = None
    """Its name in the paper. None: the paper has no such system."""


_SYSTEMS: Final[Mapping[str, _System]] = {
    "Exclusive": _System(policy="dilu-paper", vertical="exclusive", placement="exclusive", paper="Exclusive"),
    "INFless+-l": _System(
        policy="infless", vertical="static-limit", placement="first-fit-by-limit", paper="INFless+-l"
    ),
    "INFless+-r": _System(policy="infless", vertical="static-request", paper="INFless+-r"),
    "dilu-paper": _System(policy="dilu-paper", vertical="dilu-paper", paper="Dilu"),
    "dilu-paper -VS": _System(policy="dilu-paper", vertical="static-request", paper="Dilu -VS"),
    "dilu": _System(policy="dilu", vertical="dilu"),
    "dilu -VS": _System(policy="dilu", vertical="static-request"),
    "dilu, vertical of the paper": _System(policy="dilu", vertical="dilu-paper"),
    "dilu, horizontal of the paper": _System(policy="dilu-paper", vertical="dilu"),
}
_NOT_YET: Final = ("Dilu -RC", "Dilu -WA")


_Systems = Mapping[str, list[Results]]


def _evaluate(settings: Settings, runner: TaskRunner) -> Report:
    scenario = end_to_end(_QUICK_S if settings.is_quick else _LASTS_S)
    systems = runner.run(
        {
            name: [
                ScenarioTask(
                    scenario=scenario,
                    policy=system.policy,
                    vertical=system.vertical,
                    placement=system.placement,
                    seed=seed,
                )
                for seed in settings.seeds
            ]
            for name, system in _SYSTEMS.items()
        }
    )
    switched = runner.run({key: tasks_of(key, settings) for family in FAMILIES for key in keys_of(family)})
    return Report(
        name="ablation",
        title="Without each part (Figure 15a, and dilu's own ingredients)",
        about=_ABOUT.format(families=", ".join(FAMILIES), held_out="flash"),
        tables=(_system_table(systems), *(switch_table(switched, family) for family in FAMILIES)),
        comparisons=tuple(_comparisons(systems)),
        figures=(_figure(systems, switched),),
    )


def _system_table(runs: _Systems) -> Table:
    numbers: dict[str, tuple[str, Shown, Callable[[Results], float | None]]] = {
        "slo_violation_ratio": ("ours", Shown.PERCENT, lambda result: result.total.slo_violation_ratio),
        "cold_starts": ("cold starts", Shown.COUNT, lambda result: float(result.total.cold_starts)),
        "first_cold_starts": ("of these first", Shown.COUNT, lambda result: float(result.total.first_cold_starts)),
        "granted_gpu_seconds": ("granted GPU s", Shown.SECONDS, lambda result: result.total.granted_gpu_seconds),
        "whole_gpu_seconds": ("whole GPU s", Shown.SECONDS, lambda result: result.total.whole_gpu_seconds),
        "max_gpus": ("most GPUs", Shown.COUNT, lambda result: float(result.total.max_gpus)),
        "training_solo_ratio": ("training of solo", Shown.PERCENT, lambda result: result.total.training_solo_ratio),
    }
    rows = [
        (
            name,
            None if system.paper is None else END_TO_END_VIOLATIONS[system.paper],
            *(estimate(value(result) for result in runs[name]) for _, _, value in numbers.values()),
            "predicted",
        )
        for name, system in _SYSTEMS.items()
    ]
    later = [(name, END_TO_END_VIOLATIONS[name], *[None] * len(numbers), "with the scheduler") for name in _NOT_YET]
    return Table(
        name="ablation-systems",
        title="All parts together",
        columns=(
            Column(name="system", title="system"),
            Column(name="slo_violation_ratio_paper", title="SLO violations, paper", shown=Shown.PERCENT),
            *(Column(name=name, title=title, shown=shown) for name, (title, shown, _) in numbers.items()),
            Column(name="basis", title="basis"),
        ),
        rows=(*rows, *later),
    )


def _times(runs: _Systems, name: str, of: str, value: Callable[[Results], float]) -> Estimate | None:
    return paired(*([value(result) for result in runs[system]] for system in (name, of)), as_ratio=True)


def _comparisons(runs: _Systems) -> list[Comparison]:
    claims: tuple[tuple[str, str, Callable[[Results], float], PaperValue, str], ...] = (
        (
            "violations without vertical scaling, of those with it",
            "{} -VS",
            lambda result: result.total.slo_violation_ratio,
            paper_values.WITHOUT_VERTICAL,
            _WHY_FACTOR,
        ),
        (
            "most GPUs of Exclusive, of ours",
            "Exclusive",
            lambda result: float(result.total.max_gpus),
            paper_values.EXCLUSIVE_GPUS,
            _WHY_GPUS,
        ),
    )
    return [
        Comparison(
            claim=claim,
            policy=policy,
            ours=_times(runs, other.format(policy), policy, value),
            paper=paper,
            shown=Shown.TIMES,
            better=Better.HIGHER,
            why=why,
        )
        for claim, other, value, paper, why in claims
        for policy in ("dilu-paper", "dilu")
    ]


def _figure(systems: _Systems, switched: Switched) -> Figure:
    names = tuple(_SYSTEMS)
    printed = {name: system.paper for name, system in _SYSTEMS.items() if system.paper is not None}
    violations = Panel(
        title="all parts together",
        y_label="SLO violations, %",
        series=(
            Series(
                label="ours",
                x=names,
                y=tuple(estimate(100 * result.total.slo_violation_ratio for result in systems[name]) for name in names),
                mark=Mark.BARS,
            ),
            Series(
                label=PAPER,
                x=tuple(printed),
                y=tuple(Estimate(mean=100 * END_TO_END_VIOLATIONS[name].low) for name in printed.values()),
                mark=Mark.POINTS,
            ),
        ),
    )
    return Figure(name="ablation", caption="What each part is worth", panels=(violations, switch_panel(switched)))


PRESET: Final = Preset(
    name="ablation",
    summary="without vertical scaling, and without each ingredient of dilu (Figure 15a)",
    needs_traces=False,
    evaluate=_evaluate,
)
