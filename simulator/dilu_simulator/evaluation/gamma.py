"""Figure 10: burstier and burstier arrivals beside training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dilu.load.arrivals import gamma
from dilu_simulator.evaluation import paper_values
from dilu_simulator.evaluation.comparisons import Better, Comparison
from dilu_simulator.evaluation.figures import Figure, Mark, Panel, Series
from dilu_simulator.evaluation.intervals import Estimate, estimate, paired
from dilu_simulator.evaluation.names import named
from dilu_simulator.evaluation.reports import Preset, Report, Settings
from dilu_simulator.evaluation.scenes import shared, steady, tasks, trained
from dilu_simulator.evaluation.tables import Column, Shown, Table
from dilu_simulator.evaluation.tasks import TaskRunner
from dilu_simulator.results import Results
from dilu_simulator.scenario import Scenario

RPS: Final[Mapping[str, float]] = {"RoBERTa-large": 64, "GPT2-large": 48}
_CVS, _QUICK_CVS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0), (0.0, 6.0)
_VERTICALS: Final = ("exclusive", "static-limit", "static-request", "dilu-paper", "dilu")
_LASTS_S, _QUICK_S = 120.0, 5.0
_ABOUT: Final = """\
RoBERTa-large at 64 requests a second and GPT2-large at 48, each beside training of BERT-base (**assumed**: it is not
said what is beside them) for 120 s. Gaps are Gamma distributed with a coefficient of variation of 0 (evenly spaced) to
6; every request waits for its turn, so queues grow in bursts. All is **predicted**.
"""
_WHY: Final = {
    "dilu-paper": "a batch at its request takes 1.3 to 1.4 times as long as at its limit, less than the 1.6 times "
    "at which the published code sees an emergency: in these models the rule stays at the request, as MPS-r does",
    "dilu": "beyond the 4 % by which two tenants are assumed to slow each other down, a burst runs at the limit (60 %) "
    "while exclusive has the whole GPU",
}
_WHY_STATIC: Final = (
    "where dilu-paper stays at the request it is MPS-r; else "
    "the factor is one of queueing near the throughput of the share; which share each model was given in the "
    "paper's run is not printed"
)
_Runs = Mapping[tuple[str, float, str], list[Results]]


def _evaluate(settings: Settings, runner: TaskRunner) -> Report:
    cvs = _QUICK_CVS if settings.is_quick else _CVS
    lasts_s = _QUICK_S if settings.is_quick else _LASTS_S
    runs = runner.run(
        {
            (model, cv, vertical): tasks(_scenario(model, cv, lasts_s), vertical, settings.seeds)
            for model in RPS
            for cv in cvs
            for vertical in _VERTICALS
        }
    )
    return Report(
        name="gamma",
        title="Bursty arrivals (Figure 10)",
        about=_ABOUT,
        tables=tuple(_table(runs, model, cvs) for model in RPS),
        comparisons=tuple(_comparisons(runs, cvs)),
        figures=(_figure(runs, cvs),),
    )


def _scenario(model: str, cv: float, lasts_s: float) -> Scenario:
    return shared(
        f"{model} with CV {cv:g}",
        lasts_s,
        (steady("inference", model, gamma(RPS[model], lasts_s, cv=cv)),),
        (trained("training", "BERT-base"),),
    )


def _p95(runs: _Runs, model: str, cv: float, vertical: str) -> list[float | None]:
    return [result.function("inference").p95_ms for result in runs[model, cv, vertical]]


def _times(runs: _Runs, model: str, cv: float, vertical: str, of: str) -> Estimate | None:
    return paired(_p95(runs, model, cv, vertical), _p95(runs, model, cv, of), as_ratio=True)


def _table(runs: _Runs, model: str, cvs: tuple[float, ...]) -> Table:
    return Table(
        name=f"gamma-{model.lower()}",
        title=f"{model}, {RPS[model]:g} requests a second",
        columns=(
            Column(name="policy", title="vertical policy"),
            Column(name="cv", title="CV", shown=Shown.COUNT),
            Column(name="p95_ms", title="p95 ms", shown=Shown.MS),
            Column(name="p95_of_exclusive", title="of exclusive's", shown=Shown.TIMES),
            Column(name="p95_of_dilu_paper", title="of dilu-paper's", shown=Shown.TIMES),
            Column(name="p95_of_dilu", title="of dilu's", shown=Shown.TIMES),
            Column(name="slo_violation_ratio", title="SLO violations", shown=Shown.PERCENT),
            Column(name="training_ratio", title="training of solo", shown=Shown.PERCENT),
        ),
        rows=tuple(
            (
                named(vertical),
                cv,
                estimate(_p95(runs, model, cv, vertical)),
                *(_times(runs, model, cv, vertical, of) for of in ("exclusive", "dilu-paper", "dilu")),
                estimate(result.total.slo_violation_ratio for result in runs[model, cv, vertical]),
                estimate(result.total.training_solo_ratio for result in runs[model, cv, vertical]),
            )
            for vertical in _VERTICALS
            for cv in cvs
        ),
    )


def _comparisons(runs: _Runs, cvs: tuple[float, ...]) -> list[Comparison]:
    found: list[Comparison] = []
    for model, paper in paper_values.GAMMA_P95.items():
        for policy in ("dilu-paper", "dilu"):
            times = [value for cv in cvs if (value := _times(runs, model, cv, policy, "exclusive")) is not None]
            found.append(
                Comparison(
                    claim=f"{model}: p95 of exclusive's, worst of all CVs",
                    policy=policy,
                    ours=max(times, key=lambda value: value.mean, default=None),
                    paper=paper,
                    shown=Shown.TIMES,
                    better=Better.LOWER,
                    why=_WHY[policy],
                )
            )
    for other, paper in paper_values.GAMMA_AT_6.items():
        found += [
            Comparison(
                claim=f"{model}, CV 6: p95 of {named(other)}, of ours",
                policy=policy,
                ours=_times(runs, model, 6.0, other, policy),
                paper=paper,
                shown=Shown.TIMES,
                better=Better.HIGHER,
                why=_WHY_STATIC,
            )
            for model in RPS
            for policy in ("dilu-paper", "dilu")
        ]
    return found


def _figure(runs: _Runs, cvs: tuple[float, ...]) -> Figure:
    panels = tuple(
        Panel(
            title=f"{model}, {RPS[model]:g} rps",
            x_label="CV of the gaps",
            y_label="p95, of exclusive's",
            series=tuple(
                Series(
                    label=vertical,
                    x=cvs,
                    y=tuple(_times(runs, model, cv, vertical, "exclusive") for cv in cvs),
                    mark=Mark.LINE,
                )
                for vertical in _VERTICALS
            ),
        )
        for model in RPS
    )
    return Figure(name="gamma", caption="p95 by how clumped arrivals are", panels=panels)


PRESET: Final = Preset(
    name="gamma",
    summary="arrivals with a CV of 0 to 6 beside training (Figure 10)",
    needs_traces=False,
    evaluate=_evaluate,
)
