"""One look at a revision: what is read, decided on, probed and written; against a real API, with informers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dilu.http.addresses import Address
from dilu.http.client.gets import GetClient, GetResponse, OnGetResult
from dilu_autoscaler.knative.configuration.config import AutoscalerConfig, Config
from dilu_autoscaler.knative.deciding.deciders import Deciders
from dilu_autoscaler.knative.deciding.loads import Replicas
from dilu_autoscaler.knative.objects import METRICS, POD_AUTOSCALERS, SERVERLESS_SERVICES
from dilu_autoscaler.knative.reconciling.cluster_view import ClusterView
from dilu_autoscaler.knative.reconciling.conditions import time_text
from dilu_autoscaler.knative.reconciling.reconciler import Reconciler
from dilu_autoscaler.knative.reconciling.revision_plan import RevisionPlan, RevisionView
from dilu_autoscaler.knative.reconciling.writer import Writer
from dilu_autoscaler.knative.reports.sampling import Load
from dilu_autoscaler.knative.scraping.scrape_schedule import ScrapeSchedule
from dilu_kube.client import KubeClient
from dilu_kube.resources import DEPLOYMENTS
from knative.process.knative_around import Knative
from kube.fake_api_server import ApiServer
from kube.object_store import RefusedError
from loops import Run, until

KEY = "ns/rev"


class HeldProbe(GetClient):
    """Keeps the probes until the test answers them."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Address] = []
        self.waiting: list[OnGetResult] = []

    def get(self, address: Address, request: bytes, on_result: OnGetResult, *, keep_alive: bool = True) -> None:
        self.asked.append(address)
        self.waiting.append(on_result)

    def answer(self, body: bytes = b"activator") -> None:
        for on_result in self.waiting:
            on_result(GetResponse(status=200, content_type="text/plain", body=body))
        self.waiting.clear()

    async def close(self) -> None:
        self.answer()
        await super().close()


@dataclass(kw_only=True)
class Looking:
    """A reconciler with all that it looks at."""

    server: ApiServer
    knative: Knative
    view: ClusterView
    deciders: Deciders
    schedule: ScrapeSchedule
    reconciler: Reconciler
    probe: HeldProbe
    notes: list[RevisionPlan]
    removed: list[str] = field(default_factory=list)
    ours: bool = True

    async def decide(self, concurrency: float) -> None:
        """A load, and the decision on it."""
        await until(lambda: KEY in self.deciders)
        self.deciders.collector.record_scraped(KEY, Load(concurrency=concurrency, rps=0.0), time.time())
        self.deciders.poke(KEY)
        self.deciders.run_due()

    async def settled(self) -> None:
        """Until the objects are there and there is nothing left to do."""
        await until(lambda: self.server.get(METRICS, "ns", "rev") is not None)
        await until(lambda: len(self.reconciler.queue) == 0)


class NoThroughputs:
    def learned_rps(self, key: str, now_s: float) -> float | None:
        return None


@asynccontextmanager
async def looking(folder: Path, config: Config) -> AsyncIterator[Looking]:
    async with ApiServer(folder / "kubeconfig") as server:
        client = await KubeClient.connect(server.kubeconfig)
        scraping, probe = GetClient(), HeldProbe()
        notes: list[RevisionPlan] = []

        def note(world: RevisionView, made: RevisionPlan) -> None:
            notes.append(made)

        view = ClusterView(client, on_change=lambda key: looked.reconciler.queue.add(key))
        deciders = Deciders(
            replicas=lambda key: view.replicas(key) or Replicas(ready=0, starting=0, asked_for=0),
            throughputs=NoThroughputs(),
            on_change=lambda key: looked.reconciler.queue.add(key),
            on_tick=lambda tick, settings: None,
            policy="dilu-paper",
        )
        schedule = ScrapeSchedule(
            scraping,
            targets=lambda key, window_s, now_s: view.targets(key, stable_window_s=window_s, now_s=now_s),
            on_scraped=lambda key, result, when_s: None,
            scrape_runtime=lambda key: None,
        )
        looked = Looking(
            server=server,
            knative=Knative(server=server, addresses=[f"127.0.0.{last}" for last in range(2, 12)]),
            view=view,
            deciders=deciders,
            schedule=schedule,
            reconciler=Reconciler(
                view,
                deciders,
                schedule,
                Writer(client, may_write=lambda key: looked.ours, writes=True, before_scale_down=_no_choice),
                config=lambda: config,
                is_ours=lambda key: looked.ours,
                note=note,
                on_removed=lambda key: looked.removed.append(key),
                settles_for_s=lambda key: 0.0,
                probe_client=probe,
                cluster_domain="corp.example",
            ),
            probe=probe,
            notes=notes,
        )
        try:
            yield looked
        finally:
            await probe.close()  # so that no look waits for it
            await looked.reconciler.close()
            await view.close()
            await scraping.close()
            await client.close()


async def _no_choice(key: str, going: int) -> None:
    """All pods are alike."""


Look = Callable[[Callable[[Looking], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def look(run: Run, tmp_path: Path) -> Look:
    """Runs a test's coroutine with a reconciler that has begun."""
    config = Config(autoscaler=AutoscalerConfig(stable_window_s=6, concurrency_target=1.0, utilization_ratio=1.0))

    def start(main: Callable[[Looking], Coroutine[Any, Any, None]]) -> None:
        async def started() -> None:
            async with looking(tmp_path, config) as looked:
                looked.view.start()
                await looked.view.synced()
                looked.reconciler.queue.start()
                await main(looked)

        run(started)

    return start


def active_since(seconds: float) -> list[dict[str, str]]:
    since = time_text(time.time() - seconds)
    return [
        {
            "type": "Active",
            "status": "False",
            "reason": "NoTraffic",
            "message": "The target is not receiving traffic.",
            "lastTransitionTime": since,
        },
        {"type": "ScaleTargetInitialized", "status": "True", "lastTransitionTime": since},
    ]


def test_a_new_revision_gets_its_objects_and_is_decided_on_when_its_service_is_there(look: Look) -> None:
    async def main(looked: Looking) -> None:
        looked.knative.revision(replicas=1)
        await looked.settled()
        kinds = [one.plural for one in looked.server.changes if one.method == "POST"]
        assert kinds == ["serverlessservices", "metrics"]
        assert KEY in looked.deciders
        assert len(looked.schedule) == 1
        await until(lambda: looked.knative.condition("Active") == ("True", ""))
        assert not looked.notes[0].wants_decider  # there was no Service yet

    look(main)


def test_what_is_another_s_bucket_is_neither_decided_on_nor_written(look: Look) -> None:
    async def main(looked: Looking) -> None:
        looked.ours = False
        looked.knative.revision(replicas=1)
        await until(lambda: looked.view.autoscalers.get(KEY) is not None)
        await until(lambda: len(looked.reconciler.queue) == 0)
        assert (looked.server.changes, looked.notes, KEY in looked.deciders) == ([], [], False)
        looked.ours = True
        looked.reconciler.queue.add(KEY)
        await looked.settled()

    look(main)


def test_a_request_that_comes_while_the_activator_is_probed_keeps_the_last_replica(look: Look) -> None:
    async def main(looked: Looking) -> None:
        looked.knative.revision(
            replicas=1,
            observedGeneration=1,
            conditions=active_since(3600),
            serviceName="rev",
            metricsServiceName="rev-private",
            desiredScale=0,
            actualScale=1,
        )
        await looked.settled()
        await looked.decide(0.0)
        # Not scraped since, as at rest; the first reconciliation probes whether an activator is in the path.
        await until(lambda: looked.deciders.desired(KEY) == 0)
        await until(lambda: looked.probe.waiting != [])
        assert looked.probe.asked[0] == ("rev.ns.svc.corp.example", 80)
        await looked.decide(3.0)
        assert (looked.deciders.desired(KEY) or 0) >= 1
        looked.probe.answer()
        await until(lambda: looked.knative.scaled() != [])
        assert 0 not in looked.knative.scaled()

    look(main)


def test_an_activator_that_answers_lets_the_last_replica_go(look: Look) -> None:
    async def main(looked: Looking) -> None:
        looked.knative.revision(
            replicas=1,
            observedGeneration=1,
            conditions=active_since(3600),
            serviceName="rev",
            metricsServiceName="rev-private",
        )
        await looked.settled()
        await looked.decide(0.0)
        await until(lambda: looked.probe.waiting != [])
        looked.probe.answer()
        await until(lambda: looked.knative.scaled() == [0])

    look(main)


def test_another_s_service_of_that_name_is_left_alone_and_said(look: Look) -> None:
    async def main(looked: Looking) -> None:
        metadata = {"name": "rev", "namespace": "ns"}
        looked.server.put(SERVERLESS_SERVICES, {"metadata": metadata, "spec": {"mode": "Serve"}})
        looked.knative.revision(replicas=1)
        await until(lambda: looked.reconciler.errors > 0)
        await until(lambda: looked.knative.condition("Active") == ("False", "NotOwned"))
        assert looked.knative.mode() == "Serve"
        assert any("does not own SKS" in (made.error or "") for made in looked.notes)
        # It is tried again, and works when the other one is deleted.
        looked.server.remove(SERVERLESS_SERVICES, "ns", "rev")
        await until(lambda: looked.knative.mode() == "Proxy")

    look(main)


@pytest.mark.parametrize(("refusal", "is_told"), [((500, "InternalError"), True), ((409, "Conflict"), False)])
def test_what_the_api_refuses_is_tried_again(look: Look, refusal: tuple[int, str], is_told: bool) -> None:
    async def main(looked: Looking) -> None:
        refused: list[str] = []

        def refuse(asked: Any) -> RefusedError | None:
            if len(refused) < 2 and asked.plural == "serverlessservices":
                refused.append(asked.method)
                return RefusedError(*refusal)
            return None

        looked.server.refuses = refuse
        looked.knative.revision(replicas=1)
        await looked.settled()
        assert refused == ["POST", "POST"]
        assert looked.reconciler.errors >= 2
        assert any(made.error is not None for made in looked.notes) == is_told

    look(main)


def test_a_revision_that_is_deleted_is_forgotten(look: Look) -> None:
    async def main(looked: Looking) -> None:
        looked.knative.revision(replicas=1)
        await looked.settled()
        looked.server.remove(POD_AUTOSCALERS, "ns", "rev")
        await until(lambda: KEY in looked.removed)
        assert (KEY in looked.deciders, len(looked.schedule)) == (False, 0)

    look(main)


def test_a_revision_created_again_under_the_name_of_a_deleted_one_starts_again(look: Look) -> None:
    async def main(looked: Looking) -> None:
        looked.knative.starts_pods = False
        looked.knative.revision(replicas=1)
        await looked.settled()
        await looked.decide(7.0)
        assert looked.deciders.desired(KEY) == 7
        # Both in one reconciliation, as after a time without the API.
        looked.server.remove(POD_AUTOSCALERS, "ns", "rev")
        looked.knative.revision(replicas=1)
        await until(lambda: KEY in looked.removed)
        await until(lambda: KEY in looked.deciders)
        assert looked.deciders.desired(KEY) is None

    look(main)


def test_with_an_unlimited_burst_no_pod_is_asked(look: Look) -> None:
    async def main(looked: Looking) -> None:
        looked.knative.revision(replicas=1, annotations={"target-burst-capacity": "-1"})
        await looked.settled()
        assert len(looked.schedule) == 0
        metric = looked.server.get(METRICS, "ns", "rev")
        assert metric is not None
        assert metric["spec"]["scrapeTarget"] == ""
        change = {"metadata": {"annotations": {"autoscaling.knative.dev/target-burst-capacity": "200"}}}
        looked.server.change(POD_AUTOSCALERS, "ns", "rev", change)
        await until(lambda: len(looked.schedule) == 1)

    look(main)


def test_an_opted_in_revision_s_runtimes_are_asked_too_and_no_more_when_it_opts_out(look: Look) -> None:
    async def main(looked: Looking) -> None:
        looked.knative.revision(replicas=1, annotations={"dilu.dev/sm-request": "500"})
        await looked.settled()
        asked = [one for slot in looked.schedule._slots for one in slot.values()]
        assert [(one.scrapes_queue_proxies, one.scrapes_runtime) for one in asked] == [(True, True)]
        change = {"metadata": {"annotations": {"dilu.dev/sm-request": None}}}
        looked.server.change(POD_AUTOSCALERS, "ns", "rev", change)

        def asks() -> list[bool]:
            return [one.scrapes_runtime for slot in looked.schedule._slots for one in slot.values()]

        await until(lambda: asks() == [False])

    look(main)


def activating_since(seconds: float) -> list[dict[str, str]]:
    since = time_text(time.time() - seconds)
    return [
        {"type": "Active", "status": "Unknown", "reason": "Queued", "lastTransitionTime": since},
        {"type": "ScaleTargetInitialized", "status": "True", "lastTransitionTime": since},
    ]


def test_an_opted_in_revision_that_cannot_start_is_given_up_as_knative_does(look: Look) -> None:
    """A pod that crashes again and again would keep its GPU forever: no request comes, and it is never ready."""

    async def main(looked: Looking) -> None:
        looked.knative.starts_pods = False
        looked.knative.revision(
            replicas=1,
            annotations={"dilu.dev/sm-request": "500", "dilu.dev/rps-limit": "10"},
            observedGeneration=1,
            conditions=activating_since(600.0),
            serviceName="rev",
            metricsServiceName="rev-private",
        )
        await looked.settled()
        await until(lambda: KEY in looked.deciders)
        looked.deciders.run_due()
        assert (looked.deciders.desired(KEY), looked.deciders.may_give_up(KEY)) == (1, True)
        await until(lambda: len(looked.reconciler.queue) == 0)
        assert (looked.notes[-1].want, looked.knative.scaled()) == (-1, [])  # it has 30 s left
        looked.server.change(POD_AUTOSCALERS, "ns", "rev", {"status": {"conditions": activating_since(631.0)}})
        await until(lambda: looked.knative.condition("Active") == ("False", "TimedOut"))
        await until(lambda: looked.view.replicas(KEY) == Replicas(ready=0, starting=0, asked_for=0))
        looked.deciders.poke(KEY)
        looked.deciders.run_due()
        assert (looked.deciders.desired(KEY), looked.deciders.may_give_up(KEY)) == (0, False)

        def is_at_rest() -> bool:
            looked.probe.answer()  # each reconciliation probes
            return len(looked.reconciler.queue) == 0

        await until(is_at_rest)
        assert looked.knative.scaled() == [0]

    look(main)


def test_objects_of_revisions_that_are_not_scaled_are_skipped(look: Look) -> None:
    async def main(looked: Looking) -> None:
        metadata = {"name": "lonely", "namespace": "ns", "labels": {"serving.knative.dev/revisionUID": "u"}}
        looked.server.put(SERVERLESS_SERVICES, {"metadata": metadata, "spec": {"mode": "Serve"}})
        looked.knative.starts_pods = False
        looked.server.put(DEPLOYMENTS, {"metadata": metadata, "spec": {}})
        await until(lambda: "ns/lonely" in looked.removed)
        assert looked.server.changes == []

    look(main)
