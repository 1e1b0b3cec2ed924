"""A process that wants one bucket's lease: `python -m cluster_tests.bucket_lease_process KUBECONFIG NAMESPACE …`.

It says each change as a line of JSON. SIGUSR1 asks it what it holds now, SIGUSR2 makes it publish its address again,
SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

from dilu_autoscaler.knative.buckets.bucket_addresses import BucketAddresses
from dilu_autoscaler.knative.buckets.holder_identity import holder_ip
from dilu_autoscaler.knative.buckets.leases import BucketLeases
from dilu_kube.client import KubeClient
from dilu_kube.lease_rules import LeaseDurations
from dilu_kube.resources import Resource

DURATIONS = LeaseDurations(lease_s=6, renew_s=4.0, retry_s=0.8)


class CountingClient(KubeClient):
    """Counts what it was asked to write."""

    lease_writes = 0
    address_writes = 0

    async def patch(self, resource: Resource, namespace: str, name: str, body: Any, **how: Any) -> bytes:
        self.lease_writes += 1
        return await super().patch(resource, namespace, name, body, **how)

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> bytes:
        self._count(resource)
        return await super().create(resource, namespace, body)

    async def replace(self, resource: Resource, namespace: str, name: str, body: Any, **how: Any) -> bytes:
        self._count(resource)
        return await super().replace(resource, namespace, name, body, **how)

    def _count(self, resource: Resource) -> None:
        if resource.kind == "Lease":
            self.lease_writes += 1
        else:
            self.address_writes += 1


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def main(kubeconfig: str, namespace: str, bucket: str, identity: str) -> None:
    client = await CountingClient.connect(Path(kubeconfig))
    assert isinstance(client, CountingClient)
    leases = BucketLeases(client, namespace=namespace, identity=identity, buckets=[bucket], durations=DURATIONS)
    addresses = BucketAddresses(
        client, namespace=namespace, pod_ip=holder_ip(identity) or "", holds=leases.holds, retry_s=0.5
    )

    def changed(bucket: str, holds_it: bool, holder: str) -> None:
        say(event="change", holds=holds_it, holder=holder)

    def asked() -> None:
        say(
            event="answer",
            holds=leases.holds(bucket),
            lease_writes=client.lease_writes,
            address_writes=client.address_writes,
        )

    def publish_again() -> None:
        addresses.on_lease(bucket, leases.holds(bucket), identity)

    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, asked)
    loop.add_signal_handler(signal.SIGUSR2, publish_again)
    loop.add_signal_handler(signal.SIGTERM, over.set)
    leases.on_change(changed)
    leases.on_change(addresses.on_lease)
    say(event="started")
    sys.stdin.readline()  # all that race begin together
    leases.start()
    await over.wait()
    await addresses.close()
    await leases.close()
    await client.close()
    say(event="closed")


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
