"""Before replicas go, the idle ones among them are marked; what fails is said and holds nothing up."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dilu.http.client.gets import GetClient
from dilu_autoscaler.knative.reconciling.cluster_view import ClusterView
from dilu_autoscaler.knative.reconciling.scale_down import COST_ANNOTATION, Shrinking
from dilu_autoscaler.knative.scraping.runtime_stats import RuntimeStats
from dilu_kube.client import KubeClient
from dilu_kube.resources import PODS
from knative.queue_proxies import answer, pods
from kube.fake_api_server import ApiServer
from kube.object_store import RefusedError
from loops import Run, until

KEY = "ns/rev"
LABELS = {"serving.knative.dev/revision": "rev", "serving.knative.dev/revisionUID": "uid"}


def pod(name: str, **more: Any) -> dict[str, Any]:
    status = {
        "phase": "Running",
        "podIP": f"127.0.0.{name[-1]}",
        "startTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": "Ready", "status": "True"}],
        **more,
    }
    return {"metadata": {"name": name, "namespace": "ns", "labels": LABELS}, "status": status}


class Fewer:
    """The pods of a revision, what they have in flight, and who marks them."""

    def __init__(self, server: ApiServer, client: KubeClient, stats: GetClient, port: int) -> None:
        self.server = server
        self.view = ClusterView(client, on_change=lambda key: None)
        self.runtimes = RuntimeStats(stats, port)
        self.shrinking = Shrinking(client, self.view, self.runtimes)

    def costs(self) -> dict[str, str | None]:
        found = {name: self.server.get(PODS, "ns", name) for name in self.server.names(PODS)}
        return {
            name: (one or {})["metadata"].get("annotations", {}).get(COST_ANNOTATION) for name, one in found.items()
        }

    async def know(self) -> None:
        """All pods are seen, and have said what they do."""
        await until(lambda: len(self.view.pods.indexed(KEY)) == len(self.server.names(PODS)))
        asked: list[bool] = []
        self.runtimes.poll(KEY, self.view.ready_pods(KEY), lambda: asked.append(True))
        await until(lambda: bool(asked))


@asynccontextmanager
async def fewer(folder: Path, *there: dict[str, Any], in_flight: dict[str, int]) -> AsyncIterator[Fewer]:
    def answers(address: str, before: int) -> bytes:
        body = f'{{"in_flight": {in_flight[address]}, "queue_depth": 0}}'
        return answer(body.encode(), content_type="application/json")

    async with ApiServer(folder / "kubeconfig") as server, pods(answers, *in_flight) as asked:
        client, stats = await KubeClient.connect(server.kubeconfig), GetClient(timeout_s=1.0, max_body_bytes=16_384)
        made = Fewer(server, client, stats, asked.port)
        for one in there:
            server.put(PODS, one)
        made.view.start()
        try:
            await made.view.synced()
            await made.know()
            yield made
        finally:
            await made.view.close()
            await stats.close()
            await client.close()


def test_the_idle_ones_are_marked_to_go(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        loads = {"127.0.0.2": 5, "127.0.0.3": 0, "127.0.0.4": 2}
        async with fewer(tmp_path, pod("a2"), pod("a3"), pod("a4"), in_flight=loads) as made:
            await made.shrinking.prepare(KEY, 1)
            assert made.costs() == {"a2": None, "a3": "-1000", "a4": None}
            await made.shrinking.prepare(KEY, 2)
            assert made.costs() == {"a2": None, "a3": "-1000", "a4": "-998"}

    run(main)


def test_pods_that_have_ended_or_are_ending_are_not_counted(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        ending = pod("a4")
        ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        no_status = {"metadata": {"name": "a6", "namespace": "ns", "labels": LABELS}}
        there = (pod("a2"), pod("a3"), ending, pod("a5", phase="Succeeded"), no_status)
        async with fewer(tmp_path, *there, in_flight={"127.0.0.2": 3, "127.0.0.3": 1}) as made:
            await made.shrinking.prepare(KEY, 1)
            assert {name for name, cost in made.costs().items() if cost} == {"a3"}

    run(main)


def test_where_no_load_is_known_no_pod_is_marked(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with fewer(tmp_path, pod("a2"), pod("a3"), in_flight={"127.0.0.2": 0, "127.0.0.3": 0}) as made:
            made.runtimes.forget(KEY)
            await made.shrinking.prepare(KEY, 1)
            await made.shrinking.prepare("ns/other", 1)
            assert set(made.costs().values()) == {None}

    run(main)


def test_an_api_that_refuses_holds_nothing_up(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with fewer(tmp_path, pod("a2"), pod("a3"), in_flight={"127.0.0.2": 4, "127.0.0.3": 0}) as made:
            made.server.refuses = lambda asked: RefusedError(403, "Forbidden")
            await made.shrinking.prepare(KEY, 1)
            said = "ns/rev: pods were not marked before scaling down, Kubernetes chooses: patch "
            assert f"{said}/api/v1/namespaces/ns/pods/a3: 403" in caplog.text

    with caplog.at_level(logging.WARNING):
        run(main)
