"""Results for people and for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

from dilu.errors import ConfigError
from dilu_simulator.models import MODELS, Model
from dilu_simulator.results import FunctionResult, Results, TimelineRow, TrainingResult

_FUNCTION_COLUMNS: Final = {
    "requests": "requests",
    "missed": "slo_violation_ratio",
    "p50 ms": "p50_ms",
    "p95 ms": "p95_ms",
    "p99 ms": "p99_ms",
    "cold": "cold_starts",
    "first": "first_cold_starts",
    "replica s": "instance_seconds",
    "GPU s": "granted_gpu_seconds",
}
_TRAINING_COLUMNS: Final = {
    "iterations": "iterations",
    "per s": "iterations_per_s",
    "of solo": "solo_ratio",
    "waited s": "waited_s",
    "GPU s": "granted_gpu_seconds",
}
_CURVE: Final = "a={a_ms:g} c={c_ms:g} d={d_ms:g} b={b_ms:g} p={p:g}"


def print_results(results: Results) -> None:
    """Print tables of functions, training and GPUs."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    title = f"{results.scenario}: policy {results.policy}, vertical {results.vertical}, {results.placement}"
    console.print(f"{title}, seed {results.seed}, {results.duration_s:g} s", highlight=False, soft_wrap=True)
    for name, columns, entries in (
        ("function", _FUNCTION_COLUMNS, results.functions),
        ("training", _TRAINING_COLUMNS, results.training),
    ):
        if not entries:
            continue
        table = Table(name, *columns, box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for column in table.columns:
            column.no_wrap = True
        for column in table.columns[1:]:
            column.justify = "right"
        for entry in entries:
            table.add_row(entry.name, *_cells(entry, columns))
        if len(results.functions) > 1 and name == "function":
            table.add_row("all", *_cells(results.total, columns), style="bold")
        console.print(table)
    total = results.total
    console.print(
        f"{total.whole_gpu_seconds:.0f} whole GPU seconds, at most {total.max_gpus} GPUs; "
        f"{_text('ratio', total.sm_fragmentation_ratio)} of their shares and "
        f"{_text('ratio', total.memory_fragmentation_ratio)} of their memory not booked",
        highlight=False,
        soft_wrap=True,
    )


def _cells(entry: object, columns: Mapping[str, str]) -> list[str]:
    return [_text(field, getattr(entry, field)) for field in columns.values()]


def _text(field: str, value: float | None) -> str:
    if value is None:
        return "-"
    if field.endswith("ratio"):
        return f"{value:.2%}"
    if isinstance(value, int):
        return f"{value:,}"
    whole = value >= 1000 or field.endswith(("seconds", "iterations"))
    return f"{value:,.0f}" if whole else f"{value:.1f}"


def write_csv(results: Results, folder: str | Path) -> None:
    """Write functions.csv, training.csv and timeline.csv to that folder; create it if it is missing."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "functions.csv", FunctionResult, results.functions)
        _write(folder / "training.csv", TrainingResult, results.training)
        _write(folder / "timeline.csv", TimelineRow, results.timeline)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: {error.strerror}") from error


def _write(path: Path, kind: Any, rows: Sequence[Any]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(kind)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def models_as_json() -> list[dict[str, object]]:
    """Return a table of the known models, with sources."""
    return [{field.name: _plain(getattr(model, field.name)) for field in fields(model)} for model in MODELS.values()]


def _plain(value: Any) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def print_models() -> None:
    """Print each model's numbers with their sources."""
    from rich.console import Console

    console = Console()
    for model in MODELS.values():
        console.print(f"[bold]{model.name}[/bold]", highlight=False)
        for key, text in _model_lines(model):
            source = f"  [{model.sources[key]}]"
            console.print(f"  {key:<15}{text}{source}", highlight=False, markup=False, soft_wrap=True)


def _model_lines(model: Model) -> list[tuple[str, str]]:
    training, llm = model.training, model.llm
    trained = f"{training.iteration_ms:g} ms an iteration, request {training.sm_request}, limit {training.sm_limit}"
    lines = [
        ("curve", _CURVE.format(**asdict(model.curve)) + (" ms" if llm is None else " ms a token")),
        ("batch", str(model.batch)),
        ("slo_ms", f"{model.slo_ms:g}" + ("" if llm is None else " a token")),
        ("sm_request", str(model.sm_request)),
        ("sm_limit", str(model.sm_limit)),
        ("gpu_memory_mib", str(model.gpu_memory_mib)),
        ("training", f"{trained}, {training.gpu_memory_mib} MiB"),
    ]
    if llm is not None:
        typical = f"prompt {llm.prompt_tokens}, output {llm.output_tokens} tokens"
        lines.append(("llm", f"prefill {llm.prefill.per_token_ms:g} ms a token, {typical}"))
    return lines
