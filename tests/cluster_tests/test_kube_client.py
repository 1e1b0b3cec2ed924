"""Our client and informers against a real API server, and against what becomes of one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cluster_tests.api_relay import ApiRelay, dead_api_server, frozen_api_server
from dilu_kube.client import (
    JSON_PATCH,
    MERGE_PATCH,
    AlreadyExists,
    Conflict,
    KubeClient,
    NotFound,
    Refused,
    Unreachable,
)
from dilu_kube.event_recorder import EventRecorder
from dilu_kube.informers import Informer
from dilu_kube.objects import ConfigMap, Meta
from dilu_kube.resources import CONFIG_MAPS, EVENTS
from testcluster.cluster import Cluster

MANY = 1_000
MINE = {"app": "kube-client-test"}

Main = Callable[[KubeClient, ApiRelay], Awaitable[None]]
Run = Callable[[Main], None]


@pytest.fixture
def run(cluster: Cluster, tmp_path: Path) -> Run:
    """Runs a test's coroutine with a client of the cluster."""

    def start(main: Main) -> None:
        async def connected() -> None:
            async with asyncio.timeout(120), ApiRelay(cluster) as relay:
                client = await KubeClient.connect(relay.kubeconfig(tmp_path / "kubeconfig"))
                try:
                    await main(client, relay)
                finally:
                    await client.close()

        asyncio.run(connected())

    return start


def manifest(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": MINE}, "data": data}


async def create_many(client: KubeClient, namespace: str, count: int) -> None:
    limit = asyncio.Semaphore(8)

    async def create(number: int) -> None:
        async with limit:
            await client.create(CONFIG_MAPS, namespace, manifest(f"many-{number:04}", number=str(number)))

    await asyncio.gather(*map(create, range(count)))


class Following:
    """An informer of the test's ConfigMaps, and a way to wait for what it knows."""

    def __init__(self, client: KubeClient, namespace: str, *, quiet_s: float = 90.0) -> None:
        self.informer = Informer(
            client, CONFIG_MAPS, type=ConfigMap, namespace=namespace, label_selector="app", quiet_s=quiet_s
        )
        self.log: list[str] = []
        self._changed = asyncio.Event()
        self.informer.on_change(self._note)

    def _note(self, key: str, before: ConfigMap | None, after: ConfigMap | None) -> None:
        what = "add" if before is None else "delete" if after is None else "update"
        self.log.append(f"{what} {key.rpartition('/')[2]}")
        self._changed.set()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Following:
        self.informer.start()
        await self.informer.synced()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.informer.close()

    async def until(self, condition: Callable[[], bool], within_s: float = 60.0) -> None:
        async with asyncio.timeout(within_s):
            while not condition():
                await self._changed.wait()


def test_an_object_is_made_read_changed_and_deleted(run: Run, namespace: str) -> None:
    async def main(client: KubeClient, relay: ApiRelay) -> None:
        await client.create(CONFIG_MAPS, namespace, manifest("one", a="1"))
        with pytest.raises(AlreadyExists, match=f"create /api/v1/namespaces/{namespace}/configmaps: 409"):
            await client.create(CONFIG_MAPS, namespace, manifest("one"))
        operations = [
            {"op": "test", "path": "/data/a", "value": "1"},
            {"op": "replace", "path": "/data/a", "value": "2"},
        ]
        await client.patch(CONFIG_MAPS, namespace, "one", operations, content_type=JSON_PATCH)
        with pytest.raises(Refused, match=": 422 "):
            await client.patch(CONFIG_MAPS, namespace, "one", operations, content_type=JSON_PATCH)
        await client.patch(CONFIG_MAPS, namespace, "one", {"data": {"b": "x"}}, content_type=MERGE_PATCH)
        found = await client.get(CONFIG_MAPS, namespace, "one", type=ConfigMap)
        assert (found.data, found.metadata.labels) == ({"a": "2", "b": "x"}, MINE)
        await client.delete(CONFIG_MAPS, namespace, "one")
        for ended in (
            client.get(CONFIG_MAPS, namespace, "one", type=ConfigMap),
            client.delete(CONFIG_MAPS, namespace, "one"),
        ):
            with pytest.raises(NotFound, match='404 configmaps "one" not found'):
                await ended

    run(main)


def test_of_two_who_replace_the_same_version_one_wins(run: Run, namespace: str) -> None:
    async def main(client: KubeClient, relay: ApiRelay) -> None:
        body = json.loads(await client.create(CONFIG_MAPS, namespace, manifest("one")))
        await client.replace(CONFIG_MAPS, namespace, "one", body | {"data": {"winner": "first"}})
        with pytest.raises(Conflict, match="the object has been modified") as caught:
            await client.replace(CONFIG_MAPS, namespace, "one", body | {"data": {"winner": "second"}})
        assert type(caught.value) is Conflict
        assert (await client.get(CONFIG_MAPS, namespace, "one", type=ConfigMap)).data == {"winner": "first"}

    run(main)


def test_a_thousand_objects_are_listed_in_pages_and_followed(run: Run, namespace: str) -> None:
    async def main(client: KubeClient, relay: ApiRelay) -> None:
        await create_many(client, namespace, MANY)
        listed = await client.list(CONFIG_MAPS, namespace, type=ConfigMap, label_selector="app=kube-client-test")
        assert [one.metadata.name for one in listed.items] == [f"many-{number:04}" for number in range(MANY)]
        assert not listed.broken
        async with Following(client, namespace) as following:
            assert len(following.informer) == MANY
            one = following.informer.get(f"{namespace}/many-0007")
            assert one is not None
            assert one.data == {"number": "7"}
            await client.delete(CONFIG_MAPS, namespace, "many-0007")
            await following.until(lambda: following.log[MANY:] == ["delete many-0007"])

    run(main)


def test_a_watch_sees_each_change_and_ends_when_its_time_is_up(run: Run, namespace: str) -> None:
    async def main(client: KubeClient, relay: ApiRelay) -> None:
        listed = await client.list(CONFIG_MAPS, namespace, type=ConfigMap)
        await client.create(CONFIG_MAPS, namespace, manifest("one", big="x" * 900_000))
        await client.patch(CONFIG_MAPS, namespace, "one", {"data": {"big": None}}, content_type=MERGE_PATCH)
        await client.delete(CONFIG_MAPS, namespace, "one")
        events = client.watch(
            CONFIG_MAPS, namespace, type=ConfigMap, resource_version=listed.resource_version, timeout_s=2
        )
        seen = [
            (event.kind, sum(map(len, event.object.data.values())))
            async for event in events
            if event.kind != "BOOKMARK" and event.object is not None and event.object.metadata.name == "one"
        ]
        assert seen == [("ADDED", 900_000), ("MODIFIED", 0), ("DELETED", 0)]

    run(main)


def test_a_version_to_come_is_waited_for(run: Run, namespace: str) -> None:
    """An old version has expired, but the server chooses when: see tests/kube."""

    async def main(client: KubeClient, relay: ApiRelay) -> None:
        async def watch(version: str) -> None:
            async for event in client.watch(
                CONFIG_MAPS, namespace, type=ConfigMap, resource_version=version, quiet_s=2
            ):
                assert event.object is None

        with pytest.raises(Unreachable, match="no answer within 2 s"):
            await watch("9999999999")

    run(main)


@pytest.mark.parametrize("outage", [dead_api_server, frozen_api_server], ids=["killed", "frozen"])
def test_an_informer_is_right_again_after_an_outage(
    run: Run, cluster: Cluster, namespace: str, outage: Callable[[Cluster], Any]
) -> None:
    async def main(client: KubeClient, relay: ApiRelay) -> None:
        await create_many(client, namespace, 20)
        async with Following(client, namespace, quiet_s=3.0) as following:
            down = outage(cluster)
            await asyncio.to_thread(down.__enter__)
            try:
                restarts = following.informer.restarts
                while following.informer.restarts < restarts + 2:
                    await asyncio.sleep(0.05)
                assert len(following.informer) == 20
                assert following.log == [f"add many-{number:04}" for number in range(20)]
            finally:
                await asyncio.to_thread(down.__exit__, None, None, None)
            # By another way than the client under test, and while its watch may still be down.
            await asyncio.to_thread(change_three, cluster, namespace)
            await following.until(lambda: len(following.log) >= 23)
            assert sorted(following.log[20:]) == ["add new", "delete many-0001", "update many-0000"]
            assert len(following.informer) == 20

    run(main)


def change_three(cluster: Cluster, namespace: str) -> None:
    cluster.api.patch("v1", "ConfigMap", "many-0000", namespace, {"data": {"changed": "yes"}})
    cluster.api.delete("v1", "ConfigMap", "many-0001", namespace)
    metadata = {"name": "new", "namespace": namespace, "labels": MINE}
    cluster.api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    cluster.api.close()


def test_a_network_that_swallows_everything_is_noticed(run: Run, cluster: Cluster, namespace: str) -> None:
    async def main(client: KubeClient, relay: ApiRelay) -> None:
        await create_many(client, namespace, 3)
        async with Following(client, namespace, quiet_s=2.0) as following:
            relay.freeze()
            await asyncio.to_thread(change_three, cluster, namespace)
            while not following.informer.restarts:
                await asyncio.sleep(0.05)
            assert following.informer.last_contact_s > 1.5
            relay.thaw()
            await following.until(lambda: len(following.log) >= 6)
            assert sorted(following.log[3:]) == ["add new", "delete many-0001", "update many-0000"]

    run(main)


def test_events_are_shown_by_kubectl_with_their_count(run: Run, cluster: Cluster, namespace: str) -> None:
    wall_s = 1_800_000_000.0

    async def main(client: KubeClient, relay: ApiRelay) -> None:
        nonlocal wall_s
        made = json.loads(await client.create(CONFIG_MAPS, namespace, manifest("one")))
        meta = Meta(name="one", namespace=namespace, uid=made["metadata"]["uid"])
        recorder = EventRecorder(client, "dilu-autoscaler", lambda: wall_s)

        async def counted(wanted: int) -> None:
            while True:
                listed = await client.list(EVENTS, namespace, type=CountedEvent)
                counts = [one.count for one in listed.items if one.reason == "Tested"]
                if counts == [wanted]:
                    return
                await asyncio.sleep(0.05)

        def record() -> None:
            recorder.record(CONFIG_MAPS, meta, type="Warning", reason="Tested", message="all is well")

        record()
        await counted(1)
        wall_s += 61
        record()
        await counted(2)
        await recorder.close()

    run(main)
    shown = cluster.run("kubectl", "-n", namespace, "describe", "configmap", "one").stdout
    assert "Tested" in shown
    assert "dilu-autoscaler" in shown
    assert "all is well" in shown


class CountedEvent(ConfigMap, frozen=True, kw_only=True, rename="camel"):
    """An Event, as much of it as this test reads."""

    reason: str = ""
    count: int = 0
