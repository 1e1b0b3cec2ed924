"""What the holder of a bucket publishes, and that no other process writes it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dilu.errors import ConfigError
from dilu_autoscaler.knative.buckets.bucket_addresses import BucketAddresses
from dilu_kube.resources import ENDPOINT_SLICES, LEASES, SERVICES, Resource
from knative.leases.electors import Elector
from knative.leases.lease_store import BUCKET, NAMESPACE, LeaseStore, Line, MemoryClient
from loops import run_virtually


class Holder:
    """A process that holds the bucket as long as `holds`."""

    def __init__(self, store: LeaseStore, pod_ip: str = "10.0.0.1", *, line: Line | None = None) -> None:
        self.holds = True
        client = MemoryClient(store, pod_ip, line)
        self.addresses = BucketAddresses(client, namespace=NAMESPACE, pod_ip=pod_ip, holds=lambda bucket: self.holds)

    async def publish(self, for_s: float = 1.0) -> None:
        self.addresses.on_lease(BUCKET, True, "us_10.0.0.1")
        await asyncio.sleep(for_s)


def written(store: LeaseStore) -> list[tuple[str, str]]:
    return [(request.verb, request.plural) for request in store.requests if request.verb != "get"]


def stored(store: LeaseStore, resource: Resource) -> dict[str, Any]:
    found = store.read(resource, BUCKET)
    for of_the_server in ("resourceVersion", "uid", "generation"):
        del found["metadata"][of_the_server]
    return found


def test_the_first_holder_creates_what_stock_would() -> None:
    async def main() -> None:
        store = LeaseStore()
        holder = Holder(store)
        await holder.publish()
        assert stored(store, SERVICES) == {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": BUCKET, "namespace": NAMESPACE},
            "spec": {"ports": [{"name": "http", "port": 8080, "targetPort": 8080}]},
        }
        assert stored(store, ENDPOINT_SLICES) == {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": BUCKET,
                "namespace": NAMESPACE,
                "labels": {"kubernetes.io/service-name": BUCKET},
            },
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": True, "serving": True, "terminating": False}}
            ],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }
        await holder.addresses.close()

    run_virtually(main)


def test_what_is_right_already_is_not_written_again() -> None:
    async def main() -> None:
        store = LeaseStore()
        holder = Holder(store)
        await holder.publish()
        store.requests.clear()
        holder.addresses.on_lease(BUCKET, False, "")
        await holder.publish()
        assert written(store) == []
        assert len(store.requests) == 2
        await holder.addresses.close()

    run_virtually(main)


def test_the_next_holder_changes_the_address_and_nothing_else() -> None:
    async def main() -> None:
        store = LeaseStore()
        first, second = Holder(store), Holder(store, "10.0.0.2")
        await first.publish()
        store.stored(ENDPOINT_SLICES, BUCKET)["metadata"]["labels"]["team"] = "search"
        store.requests.clear()
        await second.publish()
        assert written(store) == [("replace", "endpointslices")]
        now = store.read(ENDPOINT_SLICES, BUCKET)
        assert now["endpoints"][0]["addresses"] == ["10.0.0.2"]
        assert now["metadata"]["labels"] == {"kubernetes.io/service-name": BUCKET, "team": "search"}
        await first.addresses.close()
        await second.addresses.close()

    run_virtually(main)


def test_a_slice_of_the_other_family_is_created_again() -> None:
    async def main() -> None:
        store = LeaseStore()
        first, second = Holder(store), Holder(store, "fd00::2")
        await first.publish()
        store.requests.clear()
        await second.publish()
        assert written(store) == [("delete", "endpointslices"), ("create", "endpointslices")]
        now = store.read(ENDPOINT_SLICES, BUCKET)
        assert (now["addressType"], now["endpoints"][0]["addresses"]) == ("IPv6", ["fd00::2"])
        await first.addresses.close()
        await second.addresses.close()

    run_virtually(main)


@pytest.mark.parametrize("broken", [{"endpoints": None}, {"ports": []}, {"endpoints": []}], ids=str)
def test_a_slice_that_was_emptied_is_filled_again(broken: dict[str, Any]) -> None:
    async def main() -> None:
        store = LeaseStore()
        holder = Holder(store)
        await holder.publish()
        right = stored(store, ENDPOINT_SLICES)
        store.stored(ENDPOINT_SLICES, BUCKET).update(broken)
        await holder.publish()
        assert stored(store, ENDPOINT_SLICES) == right
        await holder.addresses.close()

    run_virtually(main)


def test_a_server_that_does_not_answer_is_asked_again() -> None:
    async def main() -> None:
        store = LeaseStore()
        line = Line(is_down=True)
        holder = Holder(store, line=line)
        await holder.publish(for_s=9.0)
        assert holder.addresses.failures == 5
        line.is_down = False
        await asyncio.sleep(2.0)
        assert written(store) == [("create", "services"), ("create", "endpointslices")]
        await asyncio.sleep(60.0)
        assert len(store.requests) == 4
        await holder.addresses.close()

    run_virtually(main)


@pytest.mark.parametrize("how", ["told", "by the clock"])
def test_who_holds_the_bucket_no_more_writes_nothing(how: str) -> None:
    async def main() -> None:
        store = LeaseStore()
        holder = Holder(store, line=Line(there_s=lambda: 1.0))
        await holder.publish(for_s=0.5)  # the first attempt is under way
        if how == "told":
            holder.addresses.on_lease(BUCKET, False, "other_10.0.0.2")
        else:
            holder.holds = False
        await asyncio.sleep(30.0)
        assert written(store) == []
        await holder.addresses.close()

    run_virtually(main)


def test_an_elector_publishes_when_it_gets_the_lease() -> None:
    async def main() -> None:
        store = LeaseStore()
        elector = Elector(store)
        addresses = BucketAddresses(elector.client, namespace=NAMESPACE, pod_ip="10.0.0.97", holds=elector.leases.holds)
        elector.leases.on_change(addresses.on_lease)
        await asyncio.sleep(5.0)
        assert elector.leases.holder_ip(BUCKET) == "10.0.0.97"
        assert store.read(ENDPOINT_SLICES, BUCKET)["endpoints"][0]["addresses"] == ["10.0.0.97"]
        await addresses.close()
        await elector.close()
        assert store.read(LEASES, BUCKET)["spec"]["holderIdentity"] == ""

    run_virtually(main)


@pytest.mark.parametrize("pod_ip", ["", "10.0.0", "a-pod", "10.0.0.1:8080"])
def test_an_address_that_is_none_is_refused(pod_ip: str) -> None:
    with pytest.raises(ConfigError, match="IPv4 or IPv6"):
        BucketAddresses(MemoryClient(LeaseStore(), "a"), namespace=NAMESPACE, pod_ip=pod_ip, holds=lambda bucket: True)
