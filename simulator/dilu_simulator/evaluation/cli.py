"""`dilu evaluate`: the paper's experiments, its numbers beside ours."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from dilu.errors import ConfigError

if TYPE_CHECKING:
    from dilu_simulator.evaluation.reports import Preset, Report, Settings

_FIRST_SEED: Final = 1001
"""Seeds below were free to develop on."""
_SEEDS, _QUICK_SEEDS = 10, 2


@click.command()
@click.argument("presets", nargs=-1, metavar="[PRESET]...")
@click.option("--all", "every", is_flag=True, help="Every preset.")
@click.option("--list", "listed", is_flag=True, help="Show the presets and what they are.")
@click.option("--traces", metavar="DIR", help="The folder of the paper's published traces, for table3.")
@click.option("--seeds", type=click.IntRange(min=1), help="How many.  [default: 10; with --quick 2]")
@click.option("--out", metavar="DIR", help="Write Markdown, CSV and PNG files there.")
@click.option("--document", metavar="FILE.md", help="Write all as one document, figures in a folder beside it.")
@click.option(
    "--format",
    "shown",
    type=click.Choice(["table", "csv", "markdown"]),
    default="table",
    show_default=True,
    help="How tables are printed.",
)
@click.option("--quick", is_flag=True, help="Short runs, to see that it works; the numbers say nothing.")
@click.option("--no-plots", is_flag=True, help="Draw nothing, which needs no matplotlib.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes.  [default: one for each processor]")
def evaluate(presets: tuple[str, ...], **options: Any) -> None:
    """Run the paper's experiments in the simulator, with its printed numbers beside ours.

    \b
    dilu evaluate --list
    dilu evaluate collocation gamma
    dilu evaluate --all --traces DIR --out results
    dilu evaluate table3 --traces DIR --format csv

    Each number is a mean over seeds with its 95 % interval. Same seeds, same bytes, on however many processors.
    """
    from dilu_simulator.evaluation.preset_list import PRESETS, presets_named
    from dilu_simulator.evaluation.reports import Settings

    if options["listed"]:
        for preset in PRESETS.values():
            click.echo(f"{preset.name:<13}{preset.summary}{'; needs --traces' if preset.needs_traces else ''}")
        return
    if bool(presets) == options["every"]:
        raise click.UsageError(f"give presets ({', '.join(PRESETS)}), or --all")
    chosen = list(PRESETS.values()) if options["every"] else presets_named(presets)
    seeds = options["seeds"] or (_QUICK_SEEDS if options["quick"] else _SEEDS)
    settings = Settings(
        seeds=tuple(range(_FIRST_SEED, _FIRST_SEED + seeds)),
        traces=None if options["traces"] is None else Path(options["traces"]),
        is_quick=options["quick"],
    )
    _check(chosen, settings, options)
    reports = _reports(chosen, settings, options["jobs"] or _processors())
    _write(reports, settings, options)
    _show(reports, settings, options["shown"])


def _check(presets: Sequence[Preset], settings: Settings, options: dict[str, Any]) -> None:
    """Raise before a long run for what would fail after it."""
    from dilu_simulator.evaluation.traces import traces_in

    if any(preset.needs_traces for preset in presets):
        traces_in(settings.traces)
    if (options["out"] or options["document"]) and not options["no_plots"]:
        _require("matplotlib", "drawing", " or leave the figures out with --no-plots")
    if options["shown"] == "table":
        _require("rich", "--format table", " or choose --format markdown")
    for name in ("out", "document"):
        path = options[name] and Path(options[name])
        if path and path.exists() and path.is_dir() != (name == "out"):
            raise ConfigError(f"--{name} {path}: is {'a folder' if path.is_dir() else 'a file'}, must be the other")
        if path:
            _make_folder(path if name == "out" else path.parent, name)


def _make_folder(folder: Path, option: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--{option}: {error.filename or folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"--{option}: {folder}: nothing can be written there")


def _require(module: str, what: str, way_out: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"{what} needs the module {module}: pip install 'dilu[sim]',{way_out}")


def _reports(presets: Sequence[Preset], settings: Settings, jobs: int) -> list[Report]:
    from dilu_simulator.evaluation.tasks import TaskRunner

    reports = []
    for number, preset in enumerate(presets, 1):
        label = f"{preset.name} ({number} of {len(presets)})"
        with TaskRunner(jobs, _progress(label)) as runner:
            reports.append(preset.evaluate(settings, runner))
    return reports


def _processors() -> int:
    """Those that this process may use, where the system says so."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _progress(label: str) -> Callable[[int, int], None]:
    """Says on stderr how far it is: over and over on a terminal, else at each tenth."""

    def show(done: int, of: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{label}: {done} of {of} runs ", nl=done == of, err=True)
        elif done == of or done * 10 // of > (done - 1) * 10 // of:
            click.echo(f"{label}: {done} of {of} runs", err=True)

    return show


def _write(reports: Sequence[Report], settings: Settings, options: dict[str, Any]) -> None:
    from dilu_simulator.evaluation.documents import write_document, write_reports

    with_figures = not options["no_plots"]
    if options["out"]:
        write_reports(Path(options["out"]), reports, with_figures=with_figures)
    if options["document"]:
        write_document(Path(options["document"]), reports, settings, with_figures=with_figures)


def _show(reports: Sequence[Report], settings: Settings, shown: str) -> None:
    from dilu_simulator.evaluation.rendering import as_csv, as_markdown, print_table, tables_of

    if shown != "csv":
        if settings.is_quick:
            click.echo("quick runs: the numbers say nothing")
        click.echo(f"seeds {', '.join(str(seed) for seed in settings.seeds)}\n")
    for report in reports:
        for table in tables_of(report):
            if shown == "table":
                print_table(table)
            elif shown == "markdown":
                click.echo(as_markdown(table))
            else:
                click.echo(f"# {table.name}\n{as_csv(table)}")
