"""Checks that an installed autoscaler works; `helm test` runs it.

    python -m dilu_autoscaler.knative.installing.check

* every ready pod of ours answers the kubelet's probe on :8080, and so does Knative's Service `autoscaler`;
* ours holds every bucket's lease and renews it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Final

import aiohttp

from dilu.errors import DiluError
from dilu_autoscaler.knative.buckets.holder_identity import Side, holder_of
from dilu_autoscaler.knative.installing.takeover import OUR_PODS
from dilu_autoscaler.knative.installing.workloads import ServingNamespace, TakeoverError
from dilu_kube.client import KubeClient
from dilu_kube.objects import Lease, Pod
from dilu_kube.resources import PODS

PORT: Final = 8080
_PROBE: Final = {"User-Agent": "kube-probe/dilu-check"}
_ANSWER_S: Final = 5.0
_RENEWED_S: Final = 25.0  # a lease of Knative's own durations is renewed every 10 s, ours every 2 s


async def check_addresses(addresses: Mapping[str, str], port: int = PORT) -> None:
    """Raise `TakeoverError` for the first address that does not answer a probe with 200."""
    timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
    async with aiohttp.ClientSession(timeout=timeout, headers=_PROBE) as session:
        for what, host in addresses.items():
            url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
            try:
                async with session.get(url) as response:
                    status = response.status
            except (aiohttp.ClientError, TimeoutError) as error:
                raise TakeoverError(f"{what} ({url}) does not answer: {error or type(error).__name__}") from error
            if status != 200:
                raise TakeoverError(f"{what} ({url}): status {status}, must be 200")
            print(f"{what}: answers")


async def our_addresses(serving: ServingNamespace) -> dict[str, str]:
    """Return the address of each ready pod of ours. Raises `TakeoverError` if none is ready."""
    pods = (await serving.client.list(PODS, serving.name, type=Pod, label_selector=OUR_PODS)).items
    found = {pod.metadata.name: pod.status.pod_ip for pod in pods if pod.is_ready and pod.status.pod_ip}
    if not found:
        raise TakeoverError(f"namespace {serving.name} has no ready pod of Dilu's autoscaler ({OUR_PODS})")
    return found


async def check_leases(serving: ServingNamespace) -> None:
    """Raise `TakeoverError` unless we hold each bucket and its lease is renewed within the time limit."""
    before = await serving.leases()
    for bucket, lease in before.items():
        _require_ours(bucket, lease)

    def are_renewed(now: Mapping[str, Lease]) -> bool:
        return all(
            now[bucket].metadata.resource_version != lease.metadata.resource_version for bucket, lease in before.items()
        )

    def explain(now: Mapping[str, Lease]) -> str:
        return f"a lease was not renewed for {serving.within_s:g} s: {', '.join(now)}. Is its holder stuck?"

    for bucket, lease in (await serving.until(serving.leases, are_renewed, explain)).items():
        print(f"{bucket}: {_require_ours(bucket, lease)}, renewed")


def _require_ours(bucket: str, lease: Lease) -> str:
    holder = holder_of(lease.spec.holder_identity)
    if holder.side is not Side.OURS:
        raise TakeoverError(
            f"{bucket} is held by {holder.pod or 'no pod'}, not by Dilu: Knative's own rules decide. "
            "If Knative's autoscaler runs, it keeps the lease until it ends"
        )
    return holder.pod


async def check(environment: Mapping[str, str]) -> None:
    """Raise `TakeoverError` for the first failed check."""
    namespace = environment.get("SYSTEM_NAMESPACE", "knative-serving")
    mode = environment.get("DILU_AUTOSCALER_MODE", "replace")
    client = await KubeClient.connect(user_agent="dilu-install")
    try:
        serving = ServingNamespace(client=client, name=namespace, within_s=_RENEWED_S)
        addresses = await our_addresses(serving)
        if mode == "replace":
            addresses["Service autoscaler"] = f"autoscaler.{namespace}.svc"
        await check_addresses(addresses)
        if mode != "observe":
            await check_leases(serving)
    finally:
        await client.close()


def main() -> int:
    """Run the checks and return the exit code: 0, or 1 with one line on standard error."""
    try:
        asyncio.run(check(os.environ))
    except DiluError as error:
        print(f"dilu: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
