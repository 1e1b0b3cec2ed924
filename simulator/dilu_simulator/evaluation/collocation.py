"""Figures 7 to 9: two tenants on one GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dilu.load.arrivals import poisson
from dilu_simulator.evaluation.collocation_claims import claims
from dilu_simulator.evaluation.collocation_runs import (
    BESIDE_TRAINING,
    INFERENCE_PAIRS,
    TRAINING_PAIRS,
    Runs,
    Value,
    beside_training,
    gpus,
    inference_pair,
    job,
    p50,
    p95,
    sum_of_ratios,
    times,
    training_pair,
    training_ratio,
    value_of,
    violations,
)
from dilu_simulator.evaluation.figures import Figure, Mark, Panel, Series
from dilu_simulator.evaluation.names import named
from dilu_simulator.evaluation.reports import Preset, Report, Settings
from dilu_simulator.evaluation.scenes import VERTICALS, shared, steady, tasks, trained
from dilu_simulator.evaluation.tables import Cell, Column, Shown, Table
from dilu_simulator.evaluation.tasks import TaskRunner
from dilu_simulator.scenario import Scenario

RPS: Final[Mapping[str, float]] = {"ResNet152": 35, "RoBERTa-large": 20, "GPT2-large": 10, "LLaMA2-7B": 3}
"""The paper's rates, in the order in which it names the models elsewhere."""
_TRAINED: Final = "BERT-base"
_PAIR_MIB: Final = 20 * 1024
"""Of each of two jobs on a GPU of 40 GiB. With the memory of the paper's scripts, 28 GB and more, no two fit."""
_LASTS_S, _QUICK_S = 120.0, 5.0
_ABOUT: Final = """\
Two tenants on one GPU for 120 s, Poisson arrivals, one replica, every request waits for its turn. `exclusive` gives
each a GPU of its own. The rates 35, 20, 10 and 3 are the paper's; which model has which is our reading of its
order, who is beside whom (training is of BERT-base, which fits beside each) and the rates of the inference pairs are
**assumed**, as are the 20 GiB of each job of a training pair. Latency curves are fitted to published measurements of an
A100 and how much two tenants slow each other down is assumed; no number of these figures was fitted: all is
**predicted**.

LLaMA2-7B beside training on four fragments (Fig 7) needs a split over GPUs, which comes with the scheduler. The paper's
"35 % and 25 %, and 13 % and 21 %" over MPS-l and MPS-r (Fig 7) has no clear order and is left out. Nothing is random in
training pairs: one run.
"""


def _evaluate(settings: Settings, runner: TaskRunner) -> Report:
    lasts_s = _QUICK_S if settings.is_quick else _LASTS_S
    scenarios = {scenario.name: scenario for scenario in _scenarios(lasts_s)}
    runs = runner.run(
        {
            (name, vertical): tasks(scenario, vertical, settings.seeds if scenario.functions else settings.seeds[:1])
            for name, scenario in scenarios.items()
            for vertical in VERTICALS
        }
    )
    return Report(
        name="collocation",
        title="Two tenants on one GPU (Figures 7 to 9)",
        about=_ABOUT,
        tables=tuple(
            _table(runs, scenario) if scenario.functions else _pair_table(runs, scenario)
            for scenario in scenarios.values()
        ),
        comparisons=claims(runs),
        figures=(_figure(runs),),
    )


def _scenarios(lasts_s: float) -> list[Scenario]:
    return [
        *(
            shared(
                beside_training(model),
                lasts_s,
                (steady(model.lower(), model, poisson(RPS[model], lasts_s)),),
                (trained("training", _TRAINED),),
            )
            for model in BESIDE_TRAINING
        ),
        *(
            shared(
                inference_pair(one, other),
                lasts_s,
                tuple(steady(model.lower(), model, poisson(RPS[model], lasts_s)) for model in (one, other)),
            )
            for one, other in INFERENCE_PAIRS
        ),
        *(
            shared(
                training_pair(one, other),
                lasts_s,
                training=tuple(trained(f"training-{model.lower()}", model, _PAIR_MIB) for model in (one, other)),
            )
            for one, other in TRAINING_PAIRS
        ),
    ]


def _table(runs: Runs, scenario: Scenario) -> Table:
    """Latency of each function, beside Exclusive's, and training."""
    columns = [Column(name="policy", title="vertical policy")]
    for function in scenario.functions:
        key, title = function.name, function.model.name
        columns += [
            Column(name=f"{key}_p50_ms", title=f"{title} p50 ms", shown=Shown.MS),
            Column(name=f"{key}_p50_ratio", title="of exclusive", shown=Shown.TIMES),
            Column(name=f"{key}_p95_ms", title="p95 ms", shown=Shown.MS),
            Column(name=f"{key}_p95_ratio", title="of exclusive", shown=Shown.TIMES),
            Column(name=f"{key}_slo_violation_ratio", title="SLO violations", shown=Shown.PERCENT),
        ]
    if scenario.training:
        columns.append(Column(name="training_ratio", title="training of exclusive's", shown=Shown.PERCENT))
    columns += [
        Column(name="granted_gpu_seconds", title="granted GPU s", shown=Shown.SECONDS),
        Column(name="max_gpus", title="GPUs", shown=Shown.COUNT),
    ]
    return Table(
        name=f"collocation-{scenario.name.lower().replace(' ', '-')}",
        title=scenario.name,
        columns=tuple(columns),
        rows=tuple(_row(runs, scenario, vertical) for vertical in VERTICALS),
    )


def _row(runs: Runs, scenario: Scenario, vertical: str) -> tuple[Cell, ...]:
    cells: list[Cell] = [named(vertical)]
    for function in scenario.functions:
        for value in (p50(function.name), p95(function.name)):
            cells += [value_of(runs, scenario.name, vertical, value), times(runs, scenario.name, vertical, value)]
        cells.append(value_of(runs, scenario.name, vertical, violations(function.name)))
    if scenario.training:
        cells.append(times(runs, scenario.name, vertical, training_ratio))
    cells += [
        value_of(runs, scenario.name, vertical, lambda result: result.total.granted_gpu_seconds),
        value_of(runs, scenario.name, vertical, gpus),
    ]
    return tuple(cells)


def _pair_table(runs: Runs, scenario: Scenario) -> Table:
    return Table(
        name=f"collocation-{scenario.name.lower().replace(' ', '-')}",
        title=scenario.name,
        columns=(
            Column(name="policy", title="vertical policy"),
            *(
                Column(name=f"{job.name}_ratio", title=f"{job.model.name} of exclusive's", shown=Shown.PERCENT)
                for job in scenario.training
            ),
            Column(name="sum_ratio", title="sum", shown=Shown.PERCENT),
            Column(name="max_gpus", title="GPUs", shown=Shown.COUNT),
        ),
        rows=tuple(
            (
                named(vertical),
                *(value_of(runs, scenario.name, vertical, job(index)) for index in range(len(scenario.training))),
                value_of(runs, scenario.name, vertical, sum_of_ratios),
                value_of(runs, scenario.name, vertical, gpus),
            )
            for vertical in VERTICALS
        ),
    )


def _figure(runs: Runs) -> Figure:
    """TGS's second tenant hardly runs: a logarithm shows it beside the others."""
    beside = {beside_training(model): (model, p95(model.lower())) for model in BESIDE_TRAINING}
    second = {inference_pair(one, other): (other, p95(other.lower())) for one, other in INFERENCE_PAIRS}
    pairs = {training_pair(one, other): (f"{one}, {other}", sum_of_ratios) for one, other in TRAINING_PAIRS}
    training = {name: (model, training_ratio) for name, (model, _) in beside.items()}
    panels = (
        _panel(runs, "beside training", "p95, of exclusive's", beside, relative=True, is_logarithmic=True),
        _panel(runs, "training beside inference", "of exclusive's", training, relative=True),
        _panel(runs, "second of two", "p95, of exclusive's", second, relative=True, is_logarithmic=True),
        _panel(runs, "two trainings", "sum, of exclusive's", pairs),
    )
    return Figure(name="collocation", caption="Two tenants on one GPU, by vertical policy", panels=panels)


def _panel(
    runs: Runs,
    title: str,
    y_label: str,
    values: Mapping[str, tuple[str, Value]],
    *,
    relative: bool = False,
    is_logarithmic: bool = False,
) -> Panel:
    series = tuple(
        Series(
            label=vertical,
            x=tuple(label for label, _ in values.values()),
            y=tuple(
                times(runs, name, vertical, value) if relative else value_of(runs, name, vertical, value)
                for name, (_, value) in values.items()
            ),
            mark=Mark.BARS,
        )
        for vertical in VERTICALS
    )
    return Panel(title=title, y_label=y_label, series=series, is_logarithmic=is_logarithmic)


PRESET: Final = Preset(
    name="collocation",
    summary="training and inference, two inferences, two trainings on one GPU (Figures 7 to 9)",
    needs_traces=False,
    evaluate=_evaluate,
)
