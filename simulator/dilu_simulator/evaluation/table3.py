"""Table 3: horizontal policies alone, on three traces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dilu_simulator.evaluation.comparisons import Basis
from dilu_simulator.evaluation.figures import PAPER, Figure, Mark, Panel, Series
from dilu_simulator.evaluation.intervals import Estimate, estimate, paired
from dilu_simulator.evaluation.names import named
from dilu_simulator.evaluation.paper_values import TABLE3
from dilu_simulator.evaluation.reports import Preset, Report, Settings
from dilu_simulator.evaluation.table3_claims import claims
from dilu_simulator.evaluation.table3_runs import (
    EVEN,
    POISSON,
    POLICIES,
    Runs,
    Table3Key,
    cold_starts,
    gpu_s,
    saved,
    values_of,
    violations,
)
from dilu_simulator.evaluation.tables import Cell, Column, Shown, Table
from dilu_simulator.evaluation.tasks import SingleTask, TaskRunner
from dilu_simulator.evaluation.traces import load_of, missing_text, traces_in
from dilu_simulator.single_function import SingleResult

CAPACITY_RPS: Final = 56.0
"""Fitted, as is `eager`'s keep-alive of 15 s: with these the cold starts of two systems come out."""
_KNOB: Final = (0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.4)
_QUICK_S: Final = 100.0
_ABOUT: Final = """\
One function alone under each trace, times 25: a replica does 56 requests a second in batches of 4, the objective is
250 ms, a cold start takes 10 s, one replica is warm at the start and one stays. Request and limit are the same, so
there is no vertical dimension here. The paper prints none of these constants; 56 and the 15 s that `eager` waits before
it lets a replica go are **fitted** to the cold starts of Dilu and FaST-GS+, the others are assumed. All else is
**predicted**.

Evenly spaced, nothing is random: one run. The tables with Poisson arrivals are over all seeds. `saved` is the GPU time
of the row's policy less that of `dilu-paper` and of `dilu`, with the same arrivals; the paper prints the first.
The line in the figure is `dilu` with its one knob, `time_ratio`, at {knob}.
"""


def _evaluate(settings: Settings, runner: TaskRunner) -> Report:
    traces = traces_in(settings.traces)
    assert settings.traces is not None, "traces_in has refused it"
    knob = () if settings.is_quick else _KNOB
    runs = runner.run({key: _tasks(key, settings.traces, settings) for key in _keys(traces, knob)})
    about = _ABOUT.format(knob=", ".join(f"{value:g}" for value in _KNOB))
    missing = missing_text(traces)
    return Report(
        name="table3",
        title="Horizontal policies on the published traces (Table 3)",
        about=f"{about}\n{missing}\n" if missing else about,
        tables=tuple(
            table
            for trace in traces
            for table in (_table(runs, trace, EVEN), _table(runs, trace, POISSON), _against_dilu(runs, trace))
        ),
        comparisons=tuple(comparison for trace in traces for comparison in claims(runs, trace)),
        figures=(_cold_start_figure(runs, traces), _trade_off_figure(runs, traces, knob)),
    )


def _keys(traces: tuple[str, ...], knob: tuple[float, ...]) -> list[Table3Key]:
    return [
        *(
            Table3Key(trace=trace, spacing=spacing, policy=policy)
            for trace in traces
            for spacing in (EVEN, POISSON)
            for policy in POLICIES
        ),
        *(_knob_key(trace, value) for trace in traces for value in knob),
    ]


def _knob_key(trace: str, value: float) -> Table3Key:
    return Table3Key(trace=trace, spacing=POISSON, policy="dilu", switches=(("time_ratio", value),))


def _tasks(key: Table3Key, folder: Path, settings: Settings) -> list[SingleTask]:
    arrivals = load_of(folder, key.trace, key.spacing, until_s=_QUICK_S if settings.is_quick else None)
    seeds = settings.seeds if key.spacing == POISSON else settings.seeds[:1]  # with even spacing nothing is random
    return [
        SingleTask(policy=key.policy, arrivals=arrivals, capacity_rps=CAPACITY_RPS, seed=seed, switches=key.switches)
        for seed in seeds
    ]


def _table(runs: Runs, trace: str, spacing: str) -> Table:
    how = "evenly spaced" if spacing == EVEN else "Poisson arrivals"
    return Table(
        name=f"table3-{trace}-{spacing}",
        title=f"{trace.capitalize()}, {how}",
        columns=(
            Column(name="policy", title="policy"),
            Column(name="cold_starts_paper", title="cold starts, paper", shown=Shown.COUNT),
            Column(name="cold_starts", title="ours", shown=Shown.COUNT),
            Column(name="cold_starts_with_first", title="with the first", shown=Shown.COUNT),
            Column(name="slo_violation_ratio_paper", title="SLO violations, paper", shown=Shown.PERCENT),
            Column(name="slo_violation_ratio", title="ours", shown=Shown.PERCENT),
            Column(name="instance_seconds", title="GPU s", shown=Shown.SECONDS),
            Column(name="saved_s_paper", title="saved s, paper", shown=Shown.SECONDS),
            Column(name="saved_s_dilu_paper", title="by dilu-paper", shown=Shown.SECONDS),
            Column(name="saved_s_dilu", title="by dilu", shown=Shown.SECONDS),
            Column(name="basis", title="basis"),
        ),
        rows=tuple(_row(runs, trace, spacing, policy) for policy in POLICIES),
    )


def _row(runs: Runs, trace: str, spacing: str, policy: str) -> tuple[Cell, ...]:
    paper = TABLE3[trace].get(policy)
    starts = values_of(runs, trace, spacing, policy, cold_starts)
    is_fitted = spacing == EVEN and policy in ("dilu-paper", "eager")
    return (
        named(policy),
        paper.cold_starts if paper else None,
        estimate(starts),
        estimate(value + 1 for value in starts),  # the replica that is warm at the start
        paper.slo_violation_ratio if paper else None,
        estimate(values_of(runs, trace, spacing, policy, violations)),
        estimate(values_of(runs, trace, spacing, policy, gpu_s)),
        paper.saved_s if paper else None,
        saved(runs, trace, spacing, policy, "dilu-paper"),
        saved(runs, trace, spacing, policy, "dilu"),
        "cold starts fitted, else predicted" if is_fitted else Basis.PREDICTED.value,
    )


def _against_dilu(runs: Runs, trace: str) -> Table:
    return Table(
        name=f"table3-{trace}-dilu-against",
        title=f"{trace.capitalize()}, Poisson arrivals: dilu less each other, seed by seed (below 0: dilu has less)",
        columns=(
            Column(name="policy", title="dilu less"),
            Column(name="slo_violation_ratio", title="SLO violations", shown=Shown.PERCENT),
            Column(name="cold_starts", title="cold starts", shown=Shown.COUNT),
            Column(name="instance_seconds", title="GPU s", shown=Shown.SECONDS),
            Column(name="result", title="so dilu is"),
        ),
        rows=tuple(_difference_row(runs, trace, policy) for policy in POLICIES if policy != "dilu"),
    )


def _difference_row(runs: Runs, trace: str, policy: str) -> tuple[Cell, ...]:
    names = {"violations": violations, "cold starts": cold_starts, "GPU time": gpu_s}
    less: dict[str, Estimate | None] = {}
    for name, value in names.items():
        own, other = (values_of(runs, trace, POISSON, of, value) for of in ("dilu", policy))
        less[name] = paired(own, other)
    return (named(policy), *less.values(), _result(less))


def _result(less: Mapping[str, Estimate | None]) -> str:
    """Better and worse are intervals that leave zero out.

    >>> _result({"violations": Estimate(mean=-2.0, half_width=1.0), "GPU time": Estimate(mean=0.5, half_width=1.0)})
    'better in violations'
    """
    better = [name for name, value in less.items() if value is not None and value.high < 0]
    worse = [name for name, value in less.items() if value is not None and value.low > 0]
    said = [f"better in {', '.join(better)}"] if better else []
    if worse:
        said.append(f"worse in {', '.join(worse)}")
    return "; ".join(said) or "not to be told apart"


def _cold_start_figure(runs: Runs, traces: tuple[str, ...]) -> Figure:
    panels = []
    for trace in traces:
        printed = TABLE3[trace]
        panels.append(
            Panel(
                title=trace,
                y_label="cold starts",
                series=(
                    Series(
                        label="ours, Poisson",
                        x=POLICIES,
                        y=tuple(estimate(values_of(runs, trace, POISSON, policy, cold_starts)) for policy in POLICIES),
                        mark=Mark.BARS,
                    ),
                    Series(
                        label=PAPER,
                        x=tuple(printed),
                        y=tuple(Estimate(mean=row.cold_starts.low) for row in printed.values()),
                        mark=Mark.POINTS,
                    ),
                ),
            )
        )
    return Figure(name="table3-cold-starts", caption="Cold starts on each trace", panels=tuple(panels))


def _trade_off_figure(runs: Runs, traces: tuple[str, ...], knob: tuple[float, ...]) -> Figure:
    panels = []
    for trace in traces:
        series = [_point(policy, [runs[Table3Key(trace=trace, spacing=POISSON, policy=policy)]]) for policy in POLICIES]
        if knob:
            swept = [runs[_knob_key(trace, value)] for value in knob]
            series.append(_point("dilu, time_ratio", swept, Mark.LINE))
        panels.append(Panel(title=trace, x_label="GPU s", y_label="SLO violations, %", series=tuple(series)))
    return Figure(
        name="table3-trade-off",
        caption="SLO violations against GPU time; better is to the lower left",
        panels=tuple(panels),
    )


def _point(label: str, runs: list[list[SingleResult]], mark: Mark = Mark.POINTS) -> Series:
    seconds = [estimate(result.instance_seconds for result in results) for results in runs]
    percent = [estimate(100 * result.slo_violation_ratio for result in results) for results in runs]
    return Series(label=label, x=tuple(value for value in seconds if value), y=tuple(percent), mark=mark)


PRESET: Final = Preset(
    name="table3",
    summary="horizontal policies on the published traces: cold starts, SLO violations, GPU time saved (Table 3)",
    needs_traces=True,
    evaluate=_evaluate,
)
