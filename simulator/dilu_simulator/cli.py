"""`dilu simulate`: replay load against a policy on a virtual clock."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--workload", metavar="FILE", required=True, help="The load.")
@click.option(
    "--workload-format",
    type=click.Choice(["rps", "times"]),
    default="rps",
    show_default=True,
    help="One rate a line, each for a second; or arrival times (.csv, .jsonl).",
)
@click.option("--scale", type=float, default=1.0, show_default=True, help="Times the rate of the workload.")
@click.option("--arrivals", type=click.Choice(["even", "poisson"]), default="even", show_default=True, help="Spacing.")
@click.option("--policy", default="dilu-paper", show_default=True, help="A policy's name, or FILE.py:FUNCTION.")
@click.option("--capacity-rps", type=float, required=True, help="Requests per second of one replica, in full batches.")
@click.option("--batch", type=click.IntRange(min=1), default=4, show_default=True, help="Largest batch.")
@click.option("--slo-ms", type=float, default=250.0, show_default=True, help="Latency objective.")
@click.option("--cold-start-s", type=float, default=10.0, show_default=True, help="From being asked for to ready.")
@click.option("--min-scale", type=click.IntRange(min=0), default=1, show_default=True, help="Fewest replicas.")
@click.option("--max-scale", type=click.IntRange(min=1), help="Most replicas.  [default: unbounded]")
@click.option("--warm", type=click.IntRange(min=0), default=1, show_default=True, help="Replicas ready at the start.")
@click.option(
    "--admission",
    type=click.Choice(["slo", "queue"]),
    default="slo",
    show_default=True,
    help="slo: replicas refuse what they would answer too late, as they do when deployed. queue: everything waits.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed: same result.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def simulate(
    workload: str,
    workload_format: str,
    scale: float,
    arrivals: str,
    policy: str,
    capacity_rps: float,
    batch: int,
    slo_ms: float,
    cold_start_s: float,
    min_scale: int,
    max_scale: int | None,
    warm: int,
    admission: str,
    seed: int,
    as_json: bool,
) -> None:
    """Replay one function's load under a policy: the real scale loop and batching rules, simulated replicas.

    A replica runs one batch at a time, which takes batch / capacity whatever its size. Request and limit are the same:
    there is no vertical dimension. A refused request counts as a violation.

    \b
    dilu simulate --workload rps.txt --capacity-rps 56 --policy dilu
    dilu simulate --workload rps.txt --scale 25 --capacity-rps 56 --policy dilu-paper --json
    dilu simulate --workload times.csv --workload-format times --capacity-rps 56 --policy mine.py:decide
    """
    from dilu_simulator.own_policies import policy_for
    from dilu_simulator.single import SingleRun, simulate_single
    from dilu_simulator.workloads import read_workload

    run = SingleRun(
        policy=policy_for(policy),
        capacity_rps=capacity_rps,
        batch=batch,
        slo_ms=slo_ms,
        cold_start_s=cold_start_s,
        min_replicas=min_scale,
        max_replicas=max_scale,
        warm_replicas=warm,
        admits_by_slo=admission == "slo",
        seed=seed,
    )
    load = read_workload(workload, workload_format=workload_format, scale=scale, spacing=arrivals)
    result = simulate_single(run, load).as_mapping()
    if as_json:
        click.echo(json.dumps(result))
        return
    for key, value in result.items():
        click.echo(f"{key:<20} {value if value is None or isinstance(value, int) else f'{value:.4f}'}")
