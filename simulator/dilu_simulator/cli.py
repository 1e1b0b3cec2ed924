"""`dilu simulate`: replay load against policies on a virtual clock."""

from __future__ import annotations

import json
from typing import Any, Final

import click

from dilu.errors import ConfigError

_ONE_FUNCTION: Final = (
    "workload_format",
    "scale",
    "arrivals",
    "capacity_rps",
    "batch",
    "slo_ms",
    "cold_start_s",
    "min_scale",
    "max_scale",
    "warm",
    "admission",
)
_SCENARIO: Final = ("vertical", "placement", "csv_folder", "plot")


@click.command()
@click.argument("scenario", required=False, metavar="[SCENARIO.yaml]")
@click.option("--preset", metavar="NAME", help="A scenario that comes with the simulator; `list` prints their names.")
@click.option("--models", is_flag=True, help="Print the numbers of each model with their sources.")
@click.option("--policy", help="A policy's name, or FILE.py:FUNCTION.  [default: the scenario's; dilu]")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same result.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--vertical", help="Scenario: a vertical policy.  [default: the scenario's]")
@click.option("--placement", help="Scenario: where replicas go.  [default: the scenario's]")
@click.option("--csv", "csv_folder", metavar="DIR", help="Scenario: write functions.csv, training.csv, timeline.csv.")
@click.option("--plot", metavar="FILE", help="Scenario: draw requests, violations, replicas and GPU time over time.")
@click.option("--workload", metavar="FILE", help="One function without a device: its load.")
@click.option(
    "--workload-format",
    type=click.Choice(["rps", "times"]),
    default="rps",
    show_default=True,
    help="One rate a line, each for a second; or arrival times (.csv, .jsonl).",
)
@click.option("--scale", type=float, default=1.0, show_default=True, help="Factor for the rate of the workload.")
@click.option("--arrivals", type=click.Choice(["even", "poisson"]), default="even", show_default=True, help="Spacing.")
@click.option("--capacity-rps", type=float, help="Requests per second of one replica, in full batches.  [required]")
@click.option("--batch", type=click.IntRange(min=1), default=4, show_default=True, help="Largest batch.")
@click.option("--slo-ms", type=float, default=250.0, show_default=True, help="Latency objective.")
@click.option("--cold-start-s", type=float, default=10.0, show_default=True, help="From creation to ready.")
@click.option("--min-scale", type=click.IntRange(min=0), default=1, show_default=True, help="Fewest replicas.")
@click.option("--max-scale", type=click.IntRange(min=1), help="Most replicas.  [default: unbounded]")
@click.option("--warm", type=click.IntRange(min=0), default=1, show_default=True, help="Replicas ready at the start.")
@click.option(
    "--admission",
    type=click.Choice(["slo", "queue"]),
    default="slo",
    show_default=True,
    help="slo: replicas refuse requests that they would answer late, as in a deployment. queue: all requests wait.",
)
@click.pass_context
def simulate(ctx: click.Context, /, **options: Any) -> None:
    """Simulate a scenario: many functions and training jobs on shared GPUs, under the policies that are deployed.

    \b
    dilu simulate scenario.yaml
    dilu simulate scenario.yaml --policy kpa --vertical static-limit --seed 3 --json
    dilu simulate --preset shared-gpu --csv results --plot run.png
    dilu simulate --models

    Or, with --workload, one function alone: a replica runs one batch at a time, which takes batch / capacity whatever
    its size, and there is no device to share.

    \b
    dilu simulate --workload rps.txt --capacity-rps 56 --policy dilu
    dilu simulate --workload rps.txt --scale 25 --capacity-rps 56 --policy dilu-paper --json
    dilu simulate --workload times.csv --workload-format times --capacity-rps 56 --policy mine.py:decide

    A refused request counts as a violation.
    """
    asked = [name for name in ("models", "preset", "scenario", "workload") if options[name]]
    if len(asked) != 1:
        raise click.UsageError("give one of: a SCENARIO.yaml, --preset, --models, --workload")
    _refuse_options(ctx, asked[0])
    if options["models"]:
        _show_models(as_json=options["as_json"])
    else:
        _simulate(options)


def _refuse_options(ctx: click.Context, asked: str) -> None:
    """Refuse options of the other way of simulating, which would have no effect."""
    foreign = _SCENARIO if asked == "workload" else _ONE_FUNCTION
    for name in foreign:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            flag = next(param.opts[0] for param in ctx.command.params if param.name == name)
            other = "a scenario" if asked == "workload" else "--workload"
            raise click.UsageError(f"{flag} goes with {other} only")


def _show_models(*, as_json: bool) -> None:
    from dilu_simulator.tables import models_as_json, print_models

    if as_json:
        click.echo(json.dumps(models_as_json(), indent=1))
    else:
        _require("rich", "--models (without --json)")
        print_models()


def _simulate(options: dict[str, Any]) -> None:
    from dilu_simulator.custom_policies import PolicyFailed

    try:
        if options["workload"]:
            _simulate_one(options)
        else:
            _simulate_scenario(options)
    except PolicyFailed as failed:
        raise ConfigError(str(failed)) from failed


def _simulate_one(options: dict[str, Any]) -> None:
    from dilu_autoscaler.policy.horizontal import DEFAULT_POLICY
    from dilu_simulator.custom_policies import policy_for
    from dilu_simulator.single_function import SingleRun, simulate_single
    from dilu_simulator.workloads import read_workload

    if options["capacity_rps"] is None:
        raise click.UsageError("Missing option '--capacity-rps'.")
    run = SingleRun(
        policy=policy_for(DEFAULT_POLICY if options["policy"] is None else options["policy"]),
        capacity_rps=options["capacity_rps"],
        batch=options["batch"],
        slo_ms=options["slo_ms"],
        cold_start_s=options["cold_start_s"],
        min_replicas=options["min_scale"],
        max_replicas=options["max_scale"],
        warm_replicas=options["warm"],
        admits_by_slo=options["admission"] == "slo",
        seed=options["seed"],
    )
    load = read_workload(
        options["workload"],
        workload_format=options["workload_format"],
        scale=options["scale"],
        spacing=options["arrivals"],
    )
    result = simulate_single(run, load).as_mapping()
    if options["as_json"]:
        click.echo(json.dumps(result))
        return
    for key, value in result.items():
        click.echo(f"{key:<20} {value if value is None or isinstance(value, int) else f'{value:.4f}'}")


def _simulate_scenario(options: dict[str, Any]) -> None:
    from dilu_simulator.run import run_scenario
    from dilu_simulator.scenario import preset_names, read_preset, read_scenario
    from dilu_simulator.tables import print_results, write_csv

    preset, plot = options["preset"], options["plot"]
    if preset == "list":
        click.echo("\n".join(preset_names()))
        return
    scenario = read_preset(preset) if preset else read_scenario(options["scenario"])
    if plot:
        _require("matplotlib", "--plot")
    if not options["as_json"]:
        _require("rich", "the table (without --json)")
    results = run_scenario(
        scenario,
        policy=options["policy"],
        vertical=options["vertical"],
        placement=options["placement"],
        seed=options["seed"],
        timeline_s=max(1.0, scenario.duration_s / 600) if plot or options["csv_folder"] else None,
    )
    if options["csv_folder"]:
        write_csv(results, options["csv_folder"])
    if plot:
        from dilu_simulator.plots import plot_timeline

        plot_timeline(results, plot)
    if options["as_json"]:
        click.echo(json.dumps(results.as_mapping()))
    else:
        print_results(results)


def _require(module: str, flag: str) -> None:
    """Raise `ConfigError` before a long run rather than after it if the module is missing."""
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"{flag} needs the module {module}: pip install 'dilu[sim]'")
