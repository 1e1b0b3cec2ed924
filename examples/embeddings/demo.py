"""`make demo`: a real model under a bursty load, from zero replicas up and back to zero, on this machine.

Serves the embeddings of `app.py` with `dilu up`, checks that like meanings get close vectors, drives a load that is
calm, bursts beyond one replica's measured capacity and stops, prints a table and writes a plot.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import click

from dilu.load import LoadPlan, LoadResult, run_load_sync, summarize
from dilu.load.arrivals import constant, steps
from dilu.load.plan import read_payloads
from dilu.load.results import Record
from dilu_autoscaler.local.client import platforms_up, read_status

HERE = Path(__file__).resolve().parent
NAME = "demo"
SLO_MS = 250.0  # as app.py says
_TOO_MANY_REQUESTS = 429
CALM_RPS = 8
CALM_S = 15
BURST_S = 50
BURST_OVER_CAPACITY = 1.15  # of one replica, as measured in the calm phase
MOST_BURST_RPS = 200  # so that the load generator itself stays out of the way on a small machine
ALIKE = ("The cat sleeps on the sofa.", "A kitten naps on the couch.")
UNLIKE = "Share prices dropped at the start of the week."


@dataclass
class Timeline:
    """What `dilu up` said of the function, twice a second."""

    samples: list[dict[str, Any]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Take samples until told to stop."""
        while not self._stop.wait(0.5):
            self.sample()

    def sample(self) -> dict[str, Any]:
        """Record the function's status and return it."""
        status: dict[str, Any] = read_status(platforms_up(NAME)[0])["functions"][0]
        self.samples.append({"unix_s": time.time(), **status})
        return status

    def stop(self) -> None:
        """Take no further sample."""
        self._stop.set()


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo-out"), show_default=True, help="Results.")
@click.option("--policy", default="dilu", show_default=True, help="Rule that decides how many replicas run.")
@click.option("--max", "max_scale", default=max(2, os.cpu_count() or 2), show_default=True, help="Most replicas.")
def main(out: Path, policy: str, max_scale: int) -> None:
    """Run the demo."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dilu-demo-") as run_dir, (out / "up.log").open("w") as log:
        os.environ["DILU_RUN_DIR"] = run_dir
        platform = _start(policy, max_scale, log)
        try:
            url = _wait_for_gateway(platform, out / "up.log")
            timeline = Timeline()
            watcher = threading.Thread(target=timeline.watch, daemon=True)
            watcher.start()
            results = _drive(url, timeline)
            _say("waiting for the replicas to go: the policy wants 40 quiet seconds")
            _wait_for_zero(timeline)
            timeline.stop()
            watcher.join()
        finally:
            platform.send_signal(signal.SIGINT)
            code = platform.wait(60)
    if code != 0:
        raise click.ClickException(f"dilu up ended with exit code {code}; its log is {out / 'up.log'}")
    _report(results, timeline, out)


def _start(policy: str, max_scale: int, log: TextIO) -> subprocess.Popen[str]:
    _say("dilu up examples/embeddings/app.py   (no replica runs yet)")
    options = ["--port", "0", "--name", NAME, "--policy", policy, "--max", str(max_scale)]
    command = [sys.executable, "-m", "dilu", "up", str(HERE / "app.py"), *options]
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)


def _wait_for_gateway(platform: subprocess.Popen[str], log: Path) -> str:
    deadline_s = time.monotonic() + 60
    while platform.poll() is None and time.monotonic() < deadline_s:
        try:
            url: str = read_status(platforms_up(NAME)[0])["functions"][0]["url"]
            return url
        except Exception:  # not there yet, whatever the reason; the deadline and the exit code decide
            time.sleep(0.1)
    raise click.ClickException(f"dilu up did not start:\n{log.read_text()}")


def _drive(url: str, timeline: Timeline) -> list[LoadResult]:
    sentences = read_payloads(HERE / "sentences.jsonl")

    def run(what: str, arrivals: Any) -> LoadResult:
        _say(what)
        plan = LoadPlan(
            url=url, arrivals=arrivals, payloads=sentences, payload_order="random", slo_ms=SLO_MS, timeout_s=120
        )
        return run_load_sync(plan)

    first = run("first request: it waits for the first replica, that is for torch and the model", constant(1, 1))
    _check_meaning(url)
    calm = run(f"calm: {CALM_RPS} requests/s for {CALM_S} s", steps(f"{CALM_RPS}:{CALM_S}"))
    learned_rps: float = timeline.sample()["learned_rps"] or 50.0
    burst_rps = min(MOST_BURST_RPS, max(10, round(BURST_OVER_CAPACITY * learned_rps)))
    burst = run(
        f"burst: {burst_rps} requests/s for {BURST_S} s; one replica has shown {learned_rps:.0f}/s",
        steps(f"{burst_rps}:{BURST_S},{CALM_RPS}:10"),
    )
    return [first, calm, burst]


def _check_meaning(url: str) -> None:
    import numpy as np

    from dilu_autoscaler.local.client import Invocation

    def embed(text: str) -> Any:
        call = Invocation(url, json.dumps(text).encode(), timeout_s=60, headers={})
        return np.array(json.loads(b"".join(call.body())))

    first, second, other = (embed(text) for text in (*ALIKE, UNLIKE))
    alike, unlike = float(first @ second), float(first @ other)
    _say(f"meaning: {ALIKE[0]!r} ~ {ALIKE[1]!r} {alike:.2f}, ~ {UNLIKE!r} {unlike:.2f}")
    if not alike > unlike + 0.2:
        raise click.ClickException("the vectors do not tell like meanings from unlike ones: these weights are not real")


def _wait_for_zero(timeline: Timeline) -> None:
    deadline_s = time.monotonic() + 180
    while time.monotonic() < deadline_s:
        last = timeline.samples[-1]
        if last["ready"] == 0 and last["desired"] == 0 and not last["replicas"]:
            return
        time.sleep(0.2)
    raise click.ClickException(f"replicas are still there: {timeline.samples[-1]['explanation']}")


def _report(results: list[LoadResult], timeline: Timeline, out: Path) -> None:
    records = [record for result in results for record in result.records]
    last = timeline.samples[-1]
    summaries = [("first", results[0]), ("calm", results[1]), ("burst", results[2])]
    click.echo()
    titles = ("requests", "refused", "errors", "p50 ms", "p95 ms", "p99 ms", "SLO met")
    click.echo(f"{'phase':8}" + "".join(f"{title:>9}" for title in titles))
    for name, result in summaries:
        summary = summarize(result)
        times = summary.latency_ms
        columns = ["-"] * 3 if times is None else [f"{value:.0f}" for value in (times.p50, times.p95, times.p99)]
        slo = summary.slo.attainment_ratio if summary.slo else None
        refused = _refused(result.records)
        cells = [summary.scheduled, refused, summary.failed - refused, *columns]
        cells.append("-" if slo is None else f"{100 * slo:.1f} %")
        click.echo(f"{name:8}" + "".join(f"{cell:>9}" for cell in cells))
    cold = [f"{start['total_s']:.1f} s" for start in last["cold_starts"]]
    most = max(sample["ready"] for sample in timeline.samples)
    click.echo(
        f"\n{len(records)} requests, {_refused(records)} refused at once because they would have been late, "
        f"{sum(not record.ok for record in records) - _refused(records)} errors; objective {SLO_MS:.0f} ms; "
        f"replicas 0 -> {most} -> 0; {len(cold)} cold starts "
        f"({', '.join(cold)}); {last['replica_seconds']:.0f} replica-seconds"
    )
    (out / "timeline.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in timeline.samples))
    _plot(results, timeline, out / "demo.png")
    click.echo(f"plot: {out / 'demo.png'}   log: {out / 'up.log'}   samples: {out / 'timeline.jsonl'}")


def _refused(records: Iterable[Record]) -> int:
    """Those that a replica refused, with a time to come again, because it could not have met the objective."""
    return sum(record.status == _TOO_MANY_REQUESTS for record in records)


def _plot(results: list[LoadResult], timeline: Timeline, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    start_s = results[0].started_unix_s
    due = [result.started_unix_s + record.due_s - start_s for result in results for record in result.records]
    latency = [1000 * record.latency_s for result in results for record in result.records]
    at = [sample["unix_s"] - start_s for sample in timeline.samples]
    figure, (load, replicas, times) = plt.subplots(3, 1, sharex=True, figsize=(10, 8), layout="constrained")
    load.hist(due, bins=range(int(max(at)) + 2), histtype="stepfilled", alpha=0.6)
    load.set_ylabel("requests per second")
    for key, style in (("desired", "--"), ("ready", "-")):
        replicas.step(at, [sample[key] for sample in timeline.samples], style, where="post", label=key)
    replicas.set_ylabel("replicas")
    replicas.yaxis.get_major_locator().set_params(integer=True)
    replicas.legend(loc="upper right")
    times.scatter(due, latency, s=5, alpha=0.4)
    times.axhline(SLO_MS, color="tab:red", linewidth=1, label=f"objective {SLO_MS:.0f} ms")
    times.set_yscale("log")
    times.set_ylabel("latency, ms")
    times.set_xlabel("seconds since the first request")
    times.legend(loc="upper right")
    figure.suptitle("Sentence embeddings (all-MiniLM-L6-v2) on one machine: load, replicas, latency")
    figure.savefig(path, dpi=120)


def _say(text: str) -> None:
    click.echo(f"demo: {text}")


if __name__ == "__main__":
    main()
