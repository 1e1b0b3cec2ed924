"""The whole autoscaler before an API server: what a request, quiet, an outage and a rival lead to."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from dilu_autoscaler.knative.configuration.process_settings import Mode
from dilu_autoscaler.knative.objects import METRICS, POD_AUTOSCALERS, SERVERLESS_SERVICES
from dilu_kube.resources import DEPLOYMENTS
from knative.process.knative_around import Knative
from knative.process.processes import Cluster, Process, autoscaling, for_a_while, run
from loops import until

OURS = "dilu-autoscaler-1_127.0.0.1"


def has_settled(knative: Knative, name: str = "rev") -> bool:
    """Whether a revision at rest is known, and its objects are there."""
    made = (knative.server.get(SERVERLESS_SERVICES, "ns", name), knative.server.get(METRICS, "ns", name))
    return all(made)


async def at_rest(cluster: Cluster, process: Process) -> None:
    """The activators say that there is nothing, and so it is decided."""
    deciders = process.autoscaler.deciders
    await until(lambda: "ns/rev" in deciders)
    await cluster.activator.report(concurrency=0.0, requests=0.0)
    await until(lambda: deciders.desired("ns/rev") == 0)


def test_a_request_at_zero_is_answered_by_a_replica_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(cluster: Cluster) -> None:
        knative = cluster.knative
        knative.configure()
        knative.idle_revision()
        async with autoscaling(cluster, monkeypatch) as process:
            await until(lambda: "ns/rev" in process.autoscaler.deciders)
            await until(lambda: has_settled(knative))
            await at_rest(cluster, process)
            await cluster.activator.report()
            began_s = time.monotonic()
            await until(lambda: knative.scaled() == [1])
            assert time.monotonic() - began_s < 1.8  # and not at the next tick
            assert knative.holder() == OURS
            await until(lambda: knative.condition("Active") == ("True", ""))
            assert knative.mode() == "Proxy"  # the burst target is more than one replica takes
            status = cluster.server.get(POD_AUTOSCALERS, "ns", "rev")
            assert status is not None
            assert (status["status"]["desiredScale"], status["status"]["actualScale"]) == (1, 1)

    run(main, tmp_path, addresses=["127.0.0.2"])


def test_load_that_the_pods_report_brings_more_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(cluster: Cluster) -> None:
        knative = cluster.knative
        knative.configure()
        cluster.pods.concurrency = 3.0
        knative.revision(replicas=1)
        async with autoscaling(cluster, monkeypatch):
            await until(lambda: knative.scaled() == [3])
            cluster.pods.concurrency = 1.0  # three of them, one each
            await for_a_while(2.5)
            assert knative.scaled() == [3]

    run(main, tmp_path, addresses=["127.0.0.2", "127.0.0.3", "127.0.0.4"])


@pytest.mark.slow
def test_without_load_the_activators_take_over_before_the_last_replica_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(cluster: Cluster) -> None:
        knative, activator = cluster.knative, cluster.activator
        knative.configure(autoscaler={**knative_short(), "target-burst-capacity": "0"})
        knative.revision(replicas=1)
        activator.is_in_path = False
        async with autoscaling(cluster, monkeypatch):
            await until(lambda: knative.mode() == "Serve")
            await until(lambda: knative.condition("Active") == ("False", "NoTraffic"))
            assert knative.mode() == "Proxy"
            await until(lambda: activator.probes >= 1)
            await for_a_while(2.5)
            assert knative.scaled() == []  # requests would still go to the pod
            activator.is_in_path = True
            await until(lambda: knative.scaled() == [0])
            assert activator.probes >= 3
            await until(lambda: knative.condition("Active") == ("False", "NoTraffic"))

    run(main, tmp_path, within_s=40.0, addresses=["127.0.0.2"])


def knative_short() -> dict[str, str]:
    return {
        "stable-window": "6s",
        "scale-to-zero-grace-period": "1s",
        "container-concurrency-target-default": "1",
        "container-concurrency-target-percentage": "1.0",
    }


def test_pods_that_do_not_answer_are_no_quiet_pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(cluster: Cluster) -> None:
        knative = cluster.knative
        knative.configure()
        cluster.pods.answers = False
        knative.revision(replicas=2)
        async with autoscaling(cluster, monkeypatch) as process:
            await until(lambda: process.autoscaler.schedule.counts.failed >= 2)
            await until(lambda: _metric_says(knative) == ("False", "CollectionFailed"))
            assert knative.scaled() == []
            assert process.autoscaler.deciders.desired("ns/rev") is None
            cluster.pods.answers = True
            await until(lambda: _metric_says(knative) == ("True", ""))

    run(main, tmp_path, addresses=["127.0.0.2", "127.0.0.3"])


def _metric_says(knative: Knative) -> tuple[str, str]:
    found = knative.server.get(METRICS, "ns", "rev")
    if found is None:
        return "", ""
    for one in found.get("status", {}).get("conditions", []):
        return one["status"], one.get("reason", "")
    return "", ""


def test_while_the_api_is_away_reports_count_and_what_they_ask_for_is_written_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(cluster: Cluster) -> None:
        knative, server = cluster.knative, cluster.server
        knative.configure()
        knative.idle_revision()
        async with autoscaling(cluster, monkeypatch) as process:
            await until(lambda: has_settled(knative))
            await at_rest(cluster, process)
            await server.close()
            for _ in range(4):
                await cluster.activator.report(concurrency=2.0)
                await asyncio.sleep(0.2)
            await until(lambda: process.autoscaler.deciders.desired("ns/rev") == 2)
            assert knative.scaled() == []
            await server.open()
            await until(lambda: knative.scaled() == [2])
            assert knative.holder() == OURS

    run(main, tmp_path, addresses=["127.0.0.2", "127.0.0.3"])


def test_a_rival_with_the_lease_decides_and_gets_the_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(cluster: Cluster) -> None:
        knative = cluster.knative
        knative.configure()
        knative.idle_revision()
        async with autoscaling(cluster, monkeypatch) as process:
            autoscaler = process.autoscaler
            await until(lambda: "ns/rev" in autoscaler.deciders)
            knative.give_lease("stock_127.0.0.99")
            await until(lambda: "ns/rev" not in autoscaler.deciders)
            assert not autoscaler.is_ours("ns/rev")
            before = process.traffic.server.counts.stats
            await cluster.activator.report(concurrency=5.0)
            await until(lambda: process.traffic.server.counts.stats > before)
            assert process.traffic.queued == 1  # no server listens there; it is kept for a while
            assert len(autoscaler.schedule) == 0
            await for_a_while(0.3)
            assert knative.scaled() == []

    run(main, tmp_path, addresses=[])


def test_two_with_the_same_lease_in_turn_scale_to_what_the_present_one_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(cluster: Cluster) -> None:
        knative = cluster.knative
        knative.configure()
        knative.idle_revision()
        async with autoscaling(cluster, monkeypatch) as first:
            await until(lambda: "ns/rev" in first.autoscaler.deciders)
            async with autoscaling(cluster, monkeypatch, pod_ip="127.0.0.5", connects=False) as second:
                await until(lambda: second.autoscaler.leases is not None)
                await for_a_while(0.3)
                assert "ns/rev" not in second.autoscaler.deciders
                await first.stop()  # gives the lease back
                await until(lambda: "ns/rev" in second.autoscaler.deciders, within_s=5.0)
                assert knative.holder() == "dilu-autoscaler-1_127.0.0.5"
                assert cluster.activator.closed_with == 1012
                await cluster.activator.connect(second.port)
                await cluster.activator.report()
                await until(lambda: knative.scaled() == [1])

    run(main, tmp_path, addresses=["127.0.0.2"])


@pytest.mark.slow
def test_who_has_just_taken_over_makes_nothing_smaller_for_want_of_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(cluster: Cluster) -> None:
        knative = cluster.knative
        knative.configure()
        cluster.pods.concurrency = 0.0  # all requests go by way of activators, of which none has found us yet
        knative.revision(replicas=3)
        async with autoscaling(cluster, monkeypatch, connects=False, settles_s=10.0) as process:
            began_s = time.monotonic()
            # KPA begins in panic where there are several replicas, which lasts a window of six seconds.
            await until(lambda: process.autoscaler.deciders.desired("ns/rev") == 1)
            assert time.monotonic() - began_s < 9.5
            assert knative.scaled() == []
            await until(lambda: knative.scaled() != [])  # nothing tells it to: it looks again by itself
            assert time.monotonic() - began_s > 9.0

    run(main, tmp_path, addresses=["127.0.0.2", "127.0.0.3", "127.0.0.4"])


def test_requests_that_wait_for_a_holder_count_as_soon_as_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(cluster: Cluster) -> None:
        knative = cluster.knative
        knative.configure()
        knative.idle_revision()
        knative.give_lease("ended_127.0.0.99")
        async with autoscaling(cluster, monkeypatch) as process:
            await until(lambda: process.autoscaler.leases is not None)
            await cluster.activator.report()
            await until(lambda: process.traffic.queued == 1)
            knative.give_lease("")
            await until(lambda: knative.scaled() == [1])  # and nothing was reported again
            assert (process.traffic.queued, process.traffic.lost) == (0, 0)

    run(main, tmp_path, addresses=["127.0.0.2"])


def test_a_lease_that_ran_out_unnoticed_lets_nothing_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(cluster: Cluster) -> None:
        knative = cluster.knative
        knative.configure()
        knative.idle_revision()
        async with autoscaling(cluster, monkeypatch) as process:
            await until(lambda: has_settled(knative))
            await at_rest(cluster, process)
            leases = process.autoscaler.leases
            assert leases is not None
            # As after a stop of eleven seconds: the clock has advanced, and no timer has fired yet.
            monkeypatch.setattr(leases, "holds", lambda bucket: False)
            await cluster.activator.report()
            await until(lambda: process.autoscaler.deciders.desired("ns/rev") == 1)
            await for_a_while(0.3)
            assert knative.scaled() == []

    run(main, tmp_path, addresses=["127.0.0.2"])


def test_who_only_observes_decides_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def main(cluster: Cluster) -> None:
        knative, server = cluster.knative, cluster.server
        knative.configure()
        knative.idle_revision()
        private = {"serviceName": "rev", "privateServiceName": "rev-private"}
        metadata = {"name": "rev", "namespace": "ns"}
        server.put(SERVERLESS_SERVICES, {"metadata": metadata, "spec": {"mode": "Proxy"}, "status": private})
        knative.give_lease("stock_127.0.0.99")
        async with autoscaling(cluster, monkeypatch, mode=Mode.OBSERVE) as process:
            await until(lambda: "ns/rev" in process.autoscaler.deciders)
            await cluster.activator.report(concurrency=4.0)
            await until(lambda: process.autoscaler.deciders.desired("ns/rev") == 4)
            await until(lambda: "would scale ns/rev-deployment to 4" in caplog.text)
            assert server.changes == []

    run(main, tmp_path)


def test_a_class_that_changes_takes_the_revision_away_and_brings_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(cluster: Cluster) -> None:
        knative, server = cluster.knative, cluster.server
        knative.configure()
        knative.idle_revision()
        async with autoscaling(cluster, monkeypatch) as process:
            autoscaler = process.autoscaler
            await at_rest(cluster, process)
            key = "autoscaling.knative.dev/class"
            server.change(POD_AUTOSCALERS, "ns", "rev", {"metadata": {"annotations": {key: "other.example.com"}}})
            await until(lambda: "ns/rev" not in autoscaler.deciders)
            assert list(autoscaler.explaining.decisions().keys()) == []
            server.change(
                POD_AUTOSCALERS, "ns", "rev", {"metadata": {"annotations": {key: "kpa.autoscaling.knative.dev"}}}
            )
            await at_rest(cluster, process)

    run(main, tmp_path)


def test_revisions_that_come_and_go_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(cluster: Cluster) -> None:
        knative, server = cluster.knative, cluster.server
        knative.configure()
        async with autoscaling(cluster, monkeypatch, record=tmp_path / "records") as process:
            autoscaler = process.autoscaler
            names = [f"rev-{number}" for number in range(20)]
            for name in names:
                knative.idle_revision(name, annotations={"dilu.dev/sm-request": "500"} if name[-1] == "1" else None)
            await until(lambda: len(list(autoscaler.deciders)) == 20)
            await until(lambda: all(autoscaler.deciders.last_tick(f"ns/{name}") for name in names))
            await until(lambda: all(has_settled(knative, name) for name in names))
            for name in names:
                server.remove(POD_AUTOSCALERS, "ns", name)
                server.remove(DEPLOYMENTS, "ns", f"{name}-deployment")
            await until(lambda: not list(autoscaler.deciders))
            await until(lambda: len(autoscaler.reconciler.queue) == 0)
            # What they owned goes later, by the garbage collector: also what was just being written for them.
            for resource in (SERVERLESS_SERVICES, METRICS):
                for name in server.names(resource):
                    server.remove(resource, "ns", name)
            await until(lambda: _left(autoscaler, "ns/rev-") == [], within_s=5.0)

    run(main, tmp_path)


def _left(root: object, text: str) -> list[str]:
    """Every dict or set of our own objects below `root` in which such a key still is."""
    found: list[str] = []
    seen: set[int] = set()
    ahead: list[tuple[str, object]] = [("", root)]
    while ahead:
        path, one = ahead.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dict | set | frozenset):
            found += [f"{path}[{key}]" for key in one if isinstance(key, str) and key.startswith(text)]
        if isinstance(one, dict):
            ahead += [(f"{path}[{key!r}]", value) for key, value in one.items()]
        elif isinstance(one, list | tuple | set):
            ahead += [(f"{path}[]", value) for value in one]
        elif type(one).__module__.startswith("dilu_autoscaler"):
            names = [*getattr(one, "__dict__", {}), *_slots(one)]
            ahead += [(f"{path}.{name}", getattr(one, name, None)) for name in names]
    return [path for path in found if "_events" not in path]  # bounded, and kept for ten minutes


def _slots(one: object) -> list[str]:
    return [name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ())]


def test_one_that_was_deleted_and_created_again_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(cluster: Cluster) -> None:
        knative, server = cluster.knative, cluster.server
        knative.configure()
        knative.idle_revision()
        async with autoscaling(cluster, monkeypatch) as process:
            deciders = process.autoscaler.deciders
            await at_rest(cluster, process)
            await cluster.activator.report(concurrency=7.0)
            await until(lambda: deciders.desired("ns/rev") == 7)
            server.remove(POD_AUTOSCALERS, "ns", "rev")
            server.remove(SERVERLESS_SERVICES, "ns", "rev")
            knative.starts_pods = False
            knative.revision()  # within the same turn of the loop, so that both come as one reconciliation
            await until(lambda: deciders.desired("ns/rev") != 7)
            assert deciders.desired("ns/rev") in (None, 0, 1)

    run(main, tmp_path, addresses=[f"127.0.0.{last}" for last in range(2, 12)])


def test_a_revision_that_opts_in_is_co_scaled_from_then_on_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(cluster: Cluster) -> None:
        knative, server = cluster.knative, cluster.server
        knative.configure()
        knative.idle_revision()
        async with autoscaling(cluster, monkeypatch) as process:
            await at_rest(cluster, process)
            change = {"metadata": {"annotations": {"dilu.dev/sm-request": "500", "dilu.dev/rps-limit": "10"}}}
            server.change(POD_AUTOSCALERS, "ns", "rev", change)
            await until(lambda: "zero: no demand" in _reason(process.autoscaler.deciders.last_tick("ns/rev")))
            await cluster.activator.report(concurrency=9.0)
            await until(lambda: knative.scaled() == [1])  # one at a time
            server.change(POD_AUTOSCALERS, "ns", "rev", {"metadata": {"annotations": {"dilu.dev/sm-request": None}}})
            await until(lambda: "per replica" in _reason(process.autoscaler.deciders.last_tick("ns/rev")))

    run(main, tmp_path, addresses=[f"127.0.0.{last}" for last in range(2, 12)])


def _reason(tick: object) -> str:
    return "" if tick is None else str(getattr(tick, "decision", ""))
