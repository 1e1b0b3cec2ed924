"""Figure 13: how the shares of two tenants follow the load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dilu.load.arrivals import Arrivals, poisson
from dilu.load.arrivals import bursty as phases_over_and_over
from dilu.load.rates import Flat
from dilu_simulator.evaluation import paper_values
from dilu_simulator.evaluation.comparisons import Better, Comparison
from dilu_simulator.evaluation.figures import Figure, Mark, Panel, Series
from dilu_simulator.evaluation.intervals import Estimate, estimate, paired
from dilu_simulator.evaluation.names import named
from dilu_simulator.evaluation.reports import Preset, Report, Settings
from dilu_simulator.evaluation.scenes import VERTICALS, shared, steady, trained
from dilu_simulator.evaluation.tables import Column, Shown, Table
from dilu_simulator.evaluation.tasks import ScenarioTask, TaskRunner
from dilu_simulator.results import Results
from dilu_simulator.scenario import Scenario

_LASTS_S, _QUICK_S = 120.0, 6.0
_LOW, _FLUCTUATING = "low load", "fluctuating load"
_DRAWN: Final = ("static-request", "dilu-paper", "dilu")
_TIMELINE_S: Final = 0.5
_ABOUT: Final = """\
RoBERTa-large (request 30 %, limit 60 %) beside training of BERT-base (30 %, 90 %) for 120 s, Poisson arrivals. Low load
is 5 requests a second; the fluctuating load goes from 20 (15 s) to 120 (5 s) and back, which is between what a replica
does at its request and at its limit. Models and rates are **assumed**, the figure in the paper has neither; all is
**predicted**.

What interception itself costs (Fig 11: 0.3 to 1.3 %) is a property of real GPUs, not of this simulation.
"""
_WHY_TRAINING: Final = {
    "dilu-paper": "the paper's rule lets training grow only while inference was idle for 0.5 s; between two requests "
    "at 5 a second that is seldom",
    "dilu": "training at its request runs at 80 % of its full speed by the profiler's own definition, less what a "
    "neighbour costs",
}
_WHY_P95: Final = {
    "dilu-paper": "a batch at its request takes 1.4 times as long as at its limit, less than the 1.6 times at which "
    "the published code sees an emergency: with this model the paper's rule stays at the request, as MPS-r does",
    "dilu": "how long MPS-r's queue gets depends on how far and for how long the load is above its throughput",
}
_Runs = Mapping[tuple[str, str], list[Results]]


def _evaluate(settings: Settings, runner: TaskRunner) -> Report:
    lasts_s = _QUICK_S if settings.is_quick else _LASTS_S
    loads: dict[str, Arrivals] = {
        _LOW: poisson(5, lasts_s),
        _FLUCTUATING: phases_over_and_over(
            (Flat(rps=20, duration_s=lasts_s / 8), Flat(rps=120, duration_s=lasts_s / 24)), lasts_s
        ),
    }
    runs = runner.run(
        {
            (name, vertical): _tasks(_scenario(name, arrivals, lasts_s), vertical, settings.seeds)
            for name, arrivals in loads.items()
            for vertical in VERTICALS
        }
    )
    return Report(
        name="vertical",
        title="Shares that follow the load (Figure 13)",
        about=_ABOUT,
        tables=tuple(_table(runs, name) for name in loads),
        comparisons=tuple(_comparisons(runs)),
        figures=(_figure(runs),),
    )


def _scenario(name: str, arrivals: Arrivals, lasts_s: float) -> Scenario:
    return shared(name, lasts_s, (steady("inference", "RoBERTa-large", arrivals),), (trained("training", "BERT-base"),))


def _tasks(scenario: Scenario, vertical: str, seeds: tuple[int, ...]) -> list[ScenarioTask]:
    """Return the tasks: only the first seed's run, which is drawn, has a timeline."""
    return [
        ScenarioTask(
            scenario=scenario, vertical=vertical, seed=seed, timeline_s=None if seed != seeds[0] else _TIMELINE_S
        )
        for seed in seeds
    ]


def _p95(runs: _Runs, name: str, vertical: str) -> list[float | None]:
    return [result.function("inference").p95_ms for result in runs[name, vertical]]


def _training(runs: _Runs, name: str, vertical: str) -> list[float | None]:
    return [result.job("training").solo_ratio for result in runs[name, vertical]]


def _table(runs: _Runs, name: str) -> Table:
    return Table(
        name=f"vertical-{name.split()[0]}",
        title=name.capitalize(),
        columns=(
            Column(name="policy", title="vertical policy"),
            Column(name="p50_ms", title="p50 ms", shown=Shown.MS),
            Column(name="p95_ms", title="p95 ms", shown=Shown.MS),
            Column(name="p95_of_dilu_paper", title="of dilu-paper's", shown=Shown.TIMES),
            Column(name="p95_of_dilu", title="of dilu's", shown=Shown.TIMES),
            Column(name="slo_violation_ratio", title="SLO violations", shown=Shown.PERCENT),
            Column(name="training_ratio", title="training of solo", shown=Shown.PERCENT),
            Column(name="training_of_dilu_paper", title="of dilu-paper's", shown=Shown.TIMES),
            Column(name="training_of_dilu", title="of dilu's", shown=Shown.TIMES),
        ),
        rows=tuple(
            (
                named(vertical),
                estimate(result.function("inference").p50_ms for result in runs[name, vertical]),
                estimate(_p95(runs, name, vertical)),
                *(_p95_times(runs, name, vertical, of) for of in ("dilu-paper", "dilu")),
                estimate(result.total.slo_violation_ratio for result in runs[name, vertical]),
                estimate(_training(runs, name, vertical)),
                *(_training_times(runs, name, vertical, of) for of in ("dilu-paper", "dilu")),
            )
            for vertical in VERTICALS
        ),
    )


def _p95_times(runs: _Runs, name: str, vertical: str, of: str) -> Estimate | None:
    return paired(_p95(runs, name, vertical), _p95(runs, name, of), as_ratio=True)


def _training_times(runs: _Runs, name: str, vertical: str, of: str) -> Estimate | None:
    return paired(_training(runs, name, vertical), _training(runs, name, of), as_ratio=True)


def _comparisons(runs: _Runs) -> list[Comparison]:
    found: list[Comparison] = []
    for policy in ("dilu-paper", "dilu"):
        found += [
            Comparison(
                claim="low load: MPS-r's training, of ours",
                policy=policy,
                ours=_training_times(runs, _LOW, "static-request", policy),
                paper=paper_values.LOW_LOAD_TRAINING,
                shown=Shown.TIMES,
                better=Better.LOWER,
                why=_WHY_TRAINING[policy],
            ),
            Comparison(
                claim="fluctuating load: MPS-r's p95, of ours",
                policy=policy,
                ours=_p95_times(runs, _FLUCTUATING, "static-request", policy),
                paper=paper_values.FLUCTUATING_P95,
                shown=Shown.TIMES,
                better=Better.HIGHER,
                why=_WHY_P95[policy],
            ),
        ]
    return found


def _figure(runs: _Runs) -> Figure:
    drawn = {vertical: runs[_FLUCTUATING, vertical][0].timeline for vertical in _DRAWN}
    rows = drawn[_DRAWN[0]]
    requests = Series(
        label="requests",
        x=tuple(row.t_s for row in rows),
        y=tuple(Estimate(mean=row.requests / _TIMELINE_S) for row in rows),
        mark=Mark.STEPS,
    )
    granted = tuple(
        Series(
            label=vertical,
            x=tuple(row.t_s for row in timeline),
            y=tuple(Estimate(mean=100 * row.granted_gpu_seconds / _TIMELINE_S) for row in timeline),
            mark=Mark.STEPS,
        )
        for vertical, timeline in drawn.items()
    )
    late = tuple(
        Series(
            label=vertical,
            x=tuple(row.t_s for row in timeline),
            y=tuple(Estimate(mean=row.violations / _TIMELINE_S) for row in timeline),
            mark=Mark.STEPS,
        )
        for vertical, timeline in drawn.items()
    )
    return Figure(
        name="vertical",
        caption="Fluctuating load, first seed: what came, what inference was granted, what was late",
        panels=(
            Panel(title="load", x_label="s", y_label="requests / s", series=(requests,)),
            Panel(title="share of inference", x_label="s", y_label="% of the GPU", series=granted),
            Panel(title="late", x_label="s", y_label="requests / s", series=late),
        ),
    )


PRESET: Final = Preset(
    name="vertical",
    summary="shares under low and fluctuating load beside training (Figure 13)",
    needs_traces=False,
    evaluate=_evaluate,
)
