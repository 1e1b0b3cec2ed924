"""What the process tells of itself: its numbers, its decisions, and recordings from which they come out again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner

from dilu_autoscaler.knative.configuration.revision_settings import RevisionSettings, settings_of
from dilu_autoscaler.knative.deciding.deciders import Deciders, WallClock
from dilu_autoscaler.knative.deciding.loads import Replicas
from dilu_autoscaler.knative.explaining.explanations import Explanations
from dilu_autoscaler.knative.process import Autoscaler
from dilu_autoscaler.knative.reports.sampling import Load
from dilu_autoscaler.knative.scraping.runtime_reports import Dated, read_report, together
from dilu_autoscaler.loop import Tick
from dilu_autoscaler.replay.cli import policy
from dilu_autoscaler.replay.recorder import Recorder
from knative.process.knative_around import BUCKET
from knative.process.processes import Cluster, autoscaling, run
from knative.revisions import CONFIG, autoscaler
from loops import until

KEY = "ns/rev"


class Clock(WallClock):
    at_s = 1_000_000.0

    def now_s(self) -> float:
        return self.at_s


class Side:
    """The part of a process that recording looks at, on a clock of the test's."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.ready = 0
        self.capacity: float | None = None
        self.ticks: list[Tick] = []
        self.recorder = Recorder(folder)
        self.explaining = Explanations(cast("Autoscaler", self), self.recorder)
        self.deciders = Deciders(
            replicas=lambda key: Replicas(ready=self.ready, starting=0, asked_for=self.ready),
            throughputs=self,
            on_change=lambda key: None,
            on_tick=self._ticked,
            policy="dilu-paper",
            clock=self.clock,
        )

    def learned_rps(self, key: str, now_s: float) -> float | None:
        return self.capacity

    def seconds(self, loads: Iterable[float | None]) -> None:
        """A number of seconds, each with its load; None: no report."""
        for load in loads:
            if load is not None:
                found = Load(concurrency=load, rps=load * 3)
                self.deciders.collector.record_scraped(KEY, found, self.clock.at_s + 0.1)
                if load:
                    self.deciders.poke_at_rest(KEY)
            self.clock.at_s += 1.0
            self.deciders.run_due()

    def _ticked(self, tick: Tick, settings: RevisionSettings) -> None:
        self.ticks.append(tick)
        self.explaining.ticked(tick, settings)


def settings(**annotations: str) -> RevisionSettings:
    said = {"target": "1", "window": "20s", **{key.replace("_", "-"): text for key, text in annotations.items()}}
    return settings_of(autoscaler(annotations=said), CONFIG)


def replayed(folder: Path, observations: str, *options: str) -> list[dict[str, Any]]:
    files = ["--spec", str(folder / "spec.yaml"), "--observations", str(folder / observations)]
    result = CliRunner().invoke(policy, ["replay", *files, *options])
    assert result.exception is None, (result.output, result.exception)
    return [json.loads(line) for line in result.stdout.splitlines()]


LOADS: list[float | None] = [0.5, 2.0, None, 7.0, 7.0, 3.0, *([1.0] * 10), *([0.0] * 30), 9.0, *([None] * 30), 2.0, 2.0]


@pytest.mark.parametrize("ready", [0, 1, 4])
@pytest.mark.parametrize("silent_s", [0, 3])
def test_what_was_recorded_replays_to_the_same_decisions(tmp_path: Path, ready: int, silent_s: int) -> None:
    side = Side(tmp_path)
    side.ready = ready
    side.deciders.ensure(KEY, settings())
    side.seconds([None] * silent_s)
    side.ready = max(1, ready)
    side.seconds(LOADS[:20])
    side.deciders.ensure(KEY, settings(target="2.5", panic_window_percentage="30.0"))
    side.seconds(LOADS[20:])
    side.explaining.close()
    made = [
        (decision.replicas, decision.excess_burst_capacity, decision.panicking, decision.stable, decision.panic)
        for decision in (tick.decision for tick in side.ticks if tick.seen is not None)
    ]
    assert len(made) > 20
    again = [
        tuple(line[key] for key in ("desired", "excess_burst_capacity", "panicking", "stable", "panic"))
        for line in replayed(side.recorder.folder / "ns" / "rev", "averages.jsonl")
        if line["valid"]
    ]
    assert again == made
    assert replayed(side.recorder.folder / "ns" / "rev", "observations.jsonl")


def test_a_recording_of_a_co_scaled_revision_replays_under_its_policy(tmp_path: Path) -> None:
    side = Side(tmp_path)
    side.ready = 2
    opted_in = {"dilu.dev/sm_request": "500", "dilu.dev/rps_limit": "10"}
    side.deciders.ensure(KEY, settings(**opted_in))
    side.seconds([10.0] * 50)  # 30 requests a second, of 20
    side.explaining.close()
    assert side.deciders.desired(KEY) == 3
    folder = side.recorder.folder / "ns" / "rev"
    again = [
        line["desired"] for line in replayed(folder, "observations.jsonl", "--policy", "dilu-paper", "--tick", "1")
    ]
    assert 3 in again
    with (folder / "spec.yaml").open() as spec:
        assert "sm_request: 500\n" in spec.read()


def test_a_revision_that_opted_in_is_recorded_from_the_start_though_kpa_decides_at_first(tmp_path: Path) -> None:
    side = Side(tmp_path)
    side.ready = 2
    side.deciders.ensure(KEY, settings(**{"dilu.dev/sm_request": "500"}))
    side.seconds([1.0] * 20)
    assert side.deciders.policy(KEY) == "kpa"
    side.capacity = 10.0
    side.seconds([1.0] * 20)
    assert side.deciders.policy(KEY) == "dilu-paper"
    side.explaining.close()
    folder = side.recorder.folder / "ns" / "rev"
    lines = [json.loads(line) for line in (folder / "observations.jsonl").read_text().splitlines()]
    times = [line["t_s"] for line in lines]
    assert times == sorted(set(times))
    assert len(times) >= 35
    assert {line["rps"] for line in lines} == {3.0}
    assert not (folder / "averages.jsonl").exists()  # they are KPA's, and the spec is not
    assert replayed(folder, "observations.jsonl", "--policy", "dilu-paper")


def test_a_clock_that_goes_back_does_not_end_the_recording(tmp_path: Path) -> None:
    side = Side(tmp_path)
    side.ready = 1
    side.deciders.ensure(KEY, settings())
    side.seconds([1.0] * 6)
    side.clock.at_s -= 5000.0
    side.seconds([2.0] * 6)
    side.explaining.close()
    lines = (side.recorder.folder / "ns" / "rev" / "observations.jsonl").read_text().splitlines()
    assert sum(json.loads(line)["t_s"] < 999_000.0 for line in lines) >= 3


def test_the_numbers_are_those_of_the_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(cluster: Cluster) -> None:
        knative = cluster.knative
        knative.configure(observability={"metrics-protocol": "prometheus"})
        cluster.pods.concurrency = 1.0
        knative.revision(replicas=1)
        async with autoscaling(cluster, monkeypatch) as process:
            explaining = process.autoscaler.explaining
            await until(lambda: process.autoscaler.deciders.desired("ns/rev") == 1)
            await cluster.activator.report(concurrency=0.0)
            await until(lambda: explaining.numbers().process.stats_received == 1)
            numbers = explaining.numbers()
            (revision,) = numbers.revisions
            assert (revision.namespace, revision.revision, revision.policy) == ("ns", "rev", "kpa")
            assert (revision.desired, revision.ready, revision.target) == (1, 1, 1.0)
            assert revision.excess_burst_capacity is not None
            assert revision.excess_burst_capacity < 0
            (bucket,) = numbers.buckets
            assert (bucket.bucket, bucket.is_held, bucket.taken) == (BUCKET, True, 1)
            assert bucket.holder == "dilu-autoscaler-1_127.0.0.1"
            one = numbers.process
            assert (one.mode, one.stock_names, one.websocket_clients) == ("replace", True, 1)
            assert one.ticks > 0
            assert set(one.informer_age_s) >= {"Pod", "ConfigMap", "PodAutoscaler"}
            assert explaining.bucket_of("ns/rev") == BUCKET
            said = explaining.settings("ns/rev")
            assert said is not None
            assert (said["policy"], said["initial-scale"]) == ("kpa", 1)
            assert explaining.settings("ns/none") is None
            await until(lambda: _outcome(explaining) is not None)
            assert _outcome(explaining) == (1, True)

    run(main, tmp_path, addresses=["127.0.0.2"])


def test_what_the_runtimes_of_an_opted_in_revision_say_is_among_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = read_report(b'{"in_flight": 2, "queue_depth": 7, "refused_rps": 3.5, "learned_rps": 40}')
    assert report is not None
    said = together({"rev-1": Dated(report=report, at_s=0.0)}, pods=1, now_s=0.0)

    async def main(cluster: Cluster) -> None:
        cluster.knative.configure()
        cluster.knative.revision(replicas=1, annotations={"dilu.dev/sm-request": "500"})
        async with autoscaling(cluster, monkeypatch) as process:
            monkeypatch.setattr(process.autoscaler.runtimes, "of", lambda key, now_s: said)
            await until(lambda: KEY in process.autoscaler.deciders)
            (revision,) = process.autoscaler.explaining.numbers().revisions
            assert (revision.queue_depth, revision.refused_rps, revision.learned_rps) == (7, 3.5, 40.0)

    run(main, tmp_path, addresses=["127.0.0.2"])


def _outcome(explaining: Explanations) -> tuple[int | None, bool] | None:
    last = explaining.decisions().last("ns/rev")
    if last is None or last.outcome is None:
        return None
    return last.outcome.want, last.outcome.applied


def test_before_anything_is_known_the_numbers_are_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(cluster: Cluster) -> None:
        async with autoscaling(cluster, monkeypatch) as process:  # there is no ConfigMap yet
            explaining = process.autoscaler.explaining
            numbers = explaining.numbers()
            assert (numbers.buckets, numbers.revisions, explaining.bucket_of("ns/rev")) == ((), (), "")
            await cluster.activator.report()
            await until(lambda: explaining.numbers().process.stats_dropped == 1)

    run(main, tmp_path)


@dataclass(frozen=True)
class _Said:
    kind: str
    reason: str
    message: str


def test_errors_and_errors_become_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(cluster: Cluster) -> None:
        knative, server = cluster.knative, cluster.server
        knative.configure()
        knative.idle_revision(annotations={"window": "a while"})
        async with autoscaling(cluster, monkeypatch):

            def said() -> list[_Said]:
                bodies = [one.body for one in server.changes if one.plural == "events"]
                return [_Said(one["involvedObject"]["kind"], one["reason"], one["message"]) for one in bodies]

            await until(lambda: any(one.reason == "InvalidAnnotation" for one in said()))
            knative.config_map("config-autoscaler", {"stable-window": "1s"})
            await until(lambda: any(one.reason == "InvalidConfiguration" for one in said()))
            await asyncio.sleep(0)
            assert {one.kind for one in said()} == {"PodAutoscaler", "ConfigMap"}
            assert any("window" in one.message and "a while" in one.message for one in said())

    run(main, tmp_path)
