"""Finds the process that decides on a revision: the Lease of its bucket names the pod."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dilu.errors import DiluError
from dilu_autoscaler.knative.buckets.hashing import bucket_name, owner
from dilu_autoscaler.knative.buckets.holder_identity import Holder, Side, holder_of
from dilu_kube.client import KubeClient
from dilu_kube.objects import Lease
from dilu_kube.resources import LEASES

REQUEST_S: Final = 5.0
_BUCKET: Final = re.compile(r"autoscaler-bucket-\d\d-of-(\d\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Responsible:
    """The holder of a revision's bucket."""

    bucket: str
    holder: Holder
    renewed: str  # time in the Lease; "": never


async def find_responsible(key: str, namespace: str, kubeconfig: Path | None, ours: str) -> Responsible:
    """Find the process that decides on `key`, by the Leases in Knative's namespace. Raises `DiluError` if unknown."""
    client = await KubeClient.connect(
        kubeconfig or default_kubeconfig(os.environ), user_agent="dilu-explain", request_s=REQUEST_S
    )
    try:
        leases = await client.list(LEASES, namespace, type=Lease)
    finally:
        await client.close()
    return responsible_for(key, leases.items, namespace, ours)


def responsible_for(key: str, leases: Iterable[Lease], namespace: str, ours: str) -> Responsible:
    """Find the process that decides on `key` by a list of Leases; those that are not of buckets are ignored."""
    by_name = {lease.metadata.name: lease for lease in leases}
    totals = {int(match[1]): lease for name, lease in by_name.items() if (match := _BUCKET.fullmatch(name))}
    totals.pop(0, None)
    if not totals:
        raise DiluError(
            f"namespace {namespace} has no Lease such as {bucket_name(0, 1)}: no autoscaler has run there. "
            "Is Knative Serving in another namespace (--namespace)?"
        )
    # After a change of the number of buckets the former Leases still exist, but are not renewed.
    total = max(totals, key=lambda number: _last_renewed(by_name.values(), number))
    bucket = owner(key, [bucket_name(ordinal, total) for ordinal in range(total)])
    lease = by_name.get(bucket)
    identity = "" if lease is None else _printable(lease.spec.holder_identity)
    renewed = "" if lease is None else lease.spec.renew_time or ""
    return Responsible(bucket=bucket, holder=holder_of(identity, ours=ours), renewed=renewed)


def _last_renewed(leases: Iterable[Lease], total: int) -> str:
    """Return when one of `total` buckets was last renewed, as text; these texts compare like times."""
    suffix = f"-of-{total:02d}"
    named = (
        lease for lease in leases if lease.metadata.name.endswith(suffix) and _BUCKET.fullmatch(lease.metadata.name)
    )
    return max((lease.spec.renew_time or "" for lease in named), default="")


def default_kubeconfig(environment: Mapping[str, str]) -> Path | None:
    """Return the kubeconfig that kubectl uses by default. None: `$KUBECONFIG`, or a pod's service account."""
    if environment.get("KUBECONFIG") or environment.get("KUBERNETES_SERVICE_HOST"):
        return None
    usual = Path("~/.kube/config").expanduser()
    return usual if usual.is_file() else None


def ip_of(responsible: Responsible, key: str, namespace: str) -> str:
    """Return the address of the pod that decides on `key`. Raises `DiluError` if none of ours does."""
    holder, bucket = responsible.holder, responsible.bucket
    if holder.side is Side.NONE:
        raise DiluError(
            f"{bucket} has no holder, so no autoscaler decides on {key} now. Are the autoscaler's pods ready? "
            f"kubectl get pods -n {namespace} -l app=autoscaler"
        )
    if holder.side is not Side.OURS:
        whose = "Knative's own autoscaler" if holder.side is Side.STOCK else "another program"
        renewed = f", renewed {responsible.renewed}" if responsible.renewed else ""
        raise DiluError(
            f"{whose} holds {bucket} (pod {holder.pod}{renewed}) and decides on {key}. "
            "Dilu, where it is installed, takes over when that pod ends or stops renewing: "
            f"kubectl get pods -n {namespace} -l app=autoscaler"
        )
    if not holder.ip:
        raise DiluError(f"{bucket} is held by {holder.pod}, whose address is unknown")
    return holder.ip


def way_in(responsible: Responsible, key: str, namespace: str, kubeconfig: Path | None, port: int) -> str:
    """Return what to type where the pods' network cannot be reached."""
    flag = "" if kubeconfig is None else f" --kubeconfig {shlex.quote(str(kubeconfig))}"
    pod = shlex.quote(f"pod/{responsible.holder.pod}")
    return (
        "From outside the cluster's network, first run\n"
        f"  kubectl{flag} port-forward -n {shlex.quote(namespace)} {pod} {port}\n"
        f"and then\n"
        f"  dilu explain {key} --address localhost:{port}"
    )


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)
