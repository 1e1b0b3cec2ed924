"""The hand-over between Knative's autoscaler and ours. At every moment activators can connect to one of them.

The chart's hooks run it: `python -m dilu_autoscaler.knative.installing.takeover check|take|restore|leave`.

* take: when ours is available, scale Knative's to zero; if ours then gets no lease, scale it up again.
* restore: scale Knative's up and wait until it is available; ours keeps running beside it.
* leave: restore, end ours, and wait until Knative's has the leases.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from dilu.errors import DiluError
from dilu_autoscaler.knative.buckets.holder_identity import OUR_DEPLOYMENT, STOCK_DEPLOYMENT, Holder, Side
from dilu_autoscaler.knative.installing.install_checks import Installation, operator_rule, require_installable
from dilu_autoscaler.knative.installing.workloads import STOCK_REPLICAS, ServingNamespace, TakeoverError, Workload
from dilu_kube.client import KubeClient
from dilu_kube.objects import Pod
from dilu_kube.resources import PODS

_RESTARTED_AT: Final = "dilu.dev/restarted-at"
OUR_PODS: Final = f"app.kubernetes.io/name={OUR_DEPLOYMENT}"


async def take(serving: ServingNamespace) -> None:
    """Scale Knative's autoscaler to zero and wait until ours decides. If ours cannot, restore Knative's and raise."""
    await _available(serving, OUR_DEPLOYMENT, is_new=True)
    stock = await serving.change(STOCK_DEPLOYMENT, _to_zero)
    if stock is None:
        raise TakeoverError(f"namespace {serving.name} has no Deployment {STOCK_DEPLOYMENT} of Knative")
    print(f"Knative's autoscaler: zero replicas (it had {stock.metadata.annotations[STOCK_REPLICAS]})")
    try:
        holders = await serving.until(serving.holders, _all_ours, _not_ours)
    except DiluError:
        await restore(serving)
        raise
    _print(holders)


def _to_zero(stock: Workload) -> Mapping[str, Any] | None:
    if stock.operator is not None:
        raise TakeoverError(operator_rule(stock.operator))
    if stock.spec.replicas == 0 and STOCK_REPLICAS in stock.metadata.annotations:
        return None
    # If it was scaled to zero by hand, restore runs one replica: without an autoscaler, activators do not work.
    remembered = str(max(1, stock.spec.replicas))
    return {"metadata": {"annotations": {STOCK_REPLICAS: remembered}}, "spec": {"replicas": 0}}


async def restore(serving: ServingNamespace) -> None:
    """Scale Knative's autoscaler to its former replicas and wait until they are available."""
    stock = await serving.change(STOCK_DEPLOYMENT, _as_it_was)
    if stock is None:
        print(f"namespace {serving.name} has no Deployment {STOCK_DEPLOYMENT}: nothing to restore")
        return
    await _available(serving, STOCK_DEPLOYMENT)
    print(f"Knative's autoscaler: {stock.spec.replicas} replicas, available")


def _as_it_was(stock: Workload) -> Mapping[str, Any] | None:
    remembered = stock.metadata.annotations.get(STOCK_REPLICAS)
    if stock.spec.replicas == 0 and stock.operator is not None:
        raise TakeoverError(
            f"Knative Operator holds Deployment {STOCK_DEPLOYMENT} at zero (KnativeServing {stock.operator}): remove "
            f"{STOCK_DEPLOYMENT} from its spec.workloads first, or nothing would scale"
        )
    forgotten: dict[str, Any] = {"metadata": {"annotations": {STOCK_REPLICAS: None}}}
    if stock.spec.replicas == 0:
        return {**forgotten, "spec": {"replicas": _replicas(remembered)}}
    return forgotten if remembered is not None else None


def _replicas(remembered: str | None) -> int:
    """Return the remembered replicas, at least 1; the annotation may have been edited."""
    return max(1, int(remembered)) if remembered is not None and remembered.isdecimal() else 1


async def leave(serving: ServingNamespace) -> None:
    """Restore Knative's autoscaler and end ours, so that no lease is ours.

    Ours must end while it still has its rights, or it could not release the leases.
    """
    await restore(serving)
    if _all_stock(await serving.holders()):
        print("Knative's autoscaler holds all leases already")
        return
    await serving.change(OUR_DEPLOYMENT, lambda ours: {"spec": {"replicas": 0}} if ours.spec.replicas else None)

    async def our_pods() -> Sequence[Pod]:
        return (await serving.client.list(PODS, serving.name, type=Pod, label_selector=OUR_PODS)).items

    await serving.until(
        our_pods, lambda pods: not pods, lambda pods: f"{len(pods)} pods of {OUR_DEPLOYMENT} do not end"
    )
    print("Dilu's autoscaler: ended, its leases are free")
    await serving.change(STOCK_DEPLOYMENT, _restarted)
    try:
        _print(await serving.until(serving.holders, _all_stock, _not_stock))
    except TakeoverError as error:  # Knative's takes them later, and the uninstallation should continue
        print(f"warning: {error}")


def _restarted(stock: Workload) -> Mapping[str, Any] | None:
    """Return the patch of `kubectl rollout restart`: a starting autoscaler takes a free lease at once.

    One that stands by reads the lease every 10 to 22 s; until then no request would wake a revision.
    """
    if stock.operator is not None:
        return None
    annotations = {_RESTARTED_AT: datetime.now(UTC).isoformat(timespec="seconds")}
    return {"spec": {"template": {"metadata": {"annotations": annotations}}}}


async def _available(serving: ServingNamespace, name: str, *, is_new: bool = False) -> None:
    def is_so(found: Workload | None) -> bool:
        return found is not None and (found.is_rolled_out if is_new else found.is_available)

    def explain(found: Workload | None) -> str:
        if found is None:
            return f"namespace {serving.name} has no Deployment {name}"
        counts = f"{found.status.available_replicas} of {found.spec.replicas} replicas are available"
        return f"Deployment {name}: {counts} after {serving.within_s:g} s. See kubectl -n {serving.name} get pods"

    await serving.until(lambda: serving.deployment(name), is_so, explain)


def _all_ours(holders: Mapping[str, Holder]) -> bool:
    return all(holder.side is Side.OURS for holder in holders.values())


def _all_stock(holders: Mapping[str, Holder]) -> bool:
    return all(holder.side is Side.STOCK for holder in holders.values())


def _not_ours(holders: Mapping[str, Holder]) -> str:
    return f"Dilu's autoscaler did not get its leases ({_listed(holders)}). Knative's autoscaler is scaled up again"


def _not_stock(holders: Mapping[str, Holder]) -> str:
    return f"Knative's autoscaler does not hold all leases yet ({_listed(holders)})"


def _print(holders: Mapping[str, Holder]) -> None:
    for bucket, holder in holders.items():
        print(f"{bucket}: {holder.pod}")


def _listed(holders: Mapping[str, Holder]) -> str:
    return ", ".join(f"{bucket}: {holder.pod or 'no pod'}" for bucket, holder in holders.items())


_VERBS: Final = {"take": take, "restore": restore, "leave": leave}


async def run(arguments: argparse.Namespace) -> None:
    """Run one verb."""
    client = await KubeClient.connect(arguments.kubeconfig, user_agent="dilu-install")
    try:
        serving = ServingNamespace(client=client, name=arguments.namespace, within_s=arguments.timeout)
        if arguments.verb == "check":
            installation = Installation(
                release=arguments.release,
                scales_stock=arguments.scales_stock,
                checks_version=not arguments.any_version,
            )
            print(await require_installable(serving, installation))
        else:
            await _VERBS[arguments.verb](serving)
    finally:
        await client.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb and return the exit code: 0, or 1 with one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m dilu_autoscaler.knative.installing.takeover")
    parser.add_argument("verb", choices=["check", *_VERBS])
    parser.add_argument("--namespace", default="knative-serving", help="Knative Serving's")
    parser.add_argument("--kubeconfig", type=Path, help="default: $KUBECONFIG, or the pod's service account")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds for each step")
    parser.add_argument("--release", default="", help="check: the release that is being installed")
    parser.add_argument("--scales-stock", action="store_true", help="check: this installation will run take")
    parser.add_argument("--any-version", action="store_true", help="check: accept any version of Knative")
    try:
        asyncio.run(run(parser.parse_args(argv)))
    except DiluError as error:
        print(f"dilu: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
