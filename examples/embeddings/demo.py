"""`make demo`: a real model under a bursty load on this machine, from zero replicas up and back to zero.

Measures what this machine can do, serves the embeddings of `app.py` with `dilu up`, checks that sentences of similar
meaning get similar vectors, drives a calm load and a burst that one replica cannot answer, and prints a table, a plot
and what was met.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import click
from examples.embeddings.demo_capacity import burst_rps, measure
from examples.embeddings.demo_platform import Timeline, platform, wait_for
from examples.embeddings.demo_report import Phase, print_report

from dilu.load import LoadPlan, LoadResult, run_load_sync
from dilu.load.arrivals import constant, steps
from dilu.load.plan import read_payloads
from dilu_autoscaler.local.client import Invocation

HERE = Path(__file__).resolve().parent
SLO_MS = 250.0  # as in app.py
CALM_RPS = 8
CALM_S = 15
BURST_S = 50
MAX_REPLICAS = 2  # the burst is sized for two; more would take cores from the load generator
ALIKE = ("The cat sleeps on the sofa.", "A kitten naps on the couch.")
UNLIKE = "Share prices dropped at the start of the week."


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo-out"), show_default=True, help="Results.")
@click.option("--policy", default="dilu", show_default=True, help="Policy that decides how many replicas run.")
@click.option("--max", "max_replicas", default=MAX_REPLICAS, show_default=True, help="Maximum number of replicas.")
def main(out: Path, policy: str, max_replicas: int) -> None:
    """Run the demo."""
    out.mkdir(parents=True, exist_ok=True)
    sentences = read_payloads(HERE / "sentences.jsonl")
    with tempfile.TemporaryDirectory(prefix="dilu-demo-") as run_dir:
        os.environ["DILU_RUN_DIR"] = run_dir
        _print("measuring this machine: one replica alone, then two at once, under rising load")
        with platform(HERE / "app.py", "measure", ["--min", "2", "--max", "2"], out / "measure.log") as measured:
            capacity = measure(measured, sentences, SLO_MS)
        _print(f"one replica answers {capacity.one_rps:.0f} requests/s in time, two answer {capacity.two_rps:.0f}")
        options = ["--policy", policy, "--max", str(max_replicas)]
        _print("dilu up examples/embeddings/app.py   (no replica runs yet)")
        with platform(HERE / "app.py", "demo", options, out / "up.log") as served, Timeline(served) as timeline:
            phases = _drive(served.url, sentences, burst_rps(capacity))
            _print("waiting for scale to zero: the policy keeps replicas for a while after the last request")
            wait_for(lambda: timeline.sample()["replicas"] == [], timeout_s=180, what="scale to zero")
    (out / "timeline.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in timeline.samples))
    print_report(phases, timeline.samples, SLO_MS, out)
    click.echo(f"plot: {out / 'demo.png'}   log: {out / 'up.log'}   samples: {out / 'timeline.jsonl'}")


def _drive(url: str, sentences: tuple[bytes, ...], peak_rps: int) -> list[Phase]:
    def run(text: str, arrivals: Any) -> LoadResult:
        _print(text)
        plan = LoadPlan(
            url=url, arrivals=arrivals, payloads=sentences, payload_order="random", slo_ms=SLO_MS, timeout_s=120
        )
        return run_load_sync(plan)

    first = run("first request: waits for the first replica, which imports torch and loads the model", constant(1, 1))
    _check_meaning(url)
    calm = run(f"calm: {CALM_RPS} requests/s for {CALM_S} s", steps(f"{CALM_RPS}:{CALM_S}"))
    burst = run(f"burst: {peak_rps} requests/s for {BURST_S} s", steps(f"{peak_rps}:{BURST_S},{CALM_RPS}:10"))
    return [Phase("first", first), Phase("calm", calm), Phase("burst", burst)]


def _check_meaning(url: str) -> None:
    import numpy as np

    def embed(text: str) -> Any:
        call = Invocation(url, json.dumps(text).encode(), timeout_s=60, headers={})
        return np.array(json.loads(b"".join(call.body())))

    first, second, other = (embed(text) for text in (*ALIKE, UNLIKE))
    alike, unlike = float(first @ second), float(first @ other)
    _print(f"similarity: {ALIKE[0]!r} ~ {ALIKE[1]!r} {alike:.2f}, ~ {UNLIKE!r} {unlike:.2f}")
    if not alike > unlike + 0.2:
        raise click.ClickException("similar sentences have dissimilar vectors: the weights are not the real ones")


def _print(text: str) -> None:
    click.echo(f"demo: {text}")


if __name__ == "__main__":
    main()
