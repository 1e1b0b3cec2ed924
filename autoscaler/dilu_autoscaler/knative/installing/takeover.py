"""The hand-over between Knative's autoscaler and ours, without a moment in which activators find neither.

The chart's hooks run it: `python -m dilu_autoscaler.knative.installing.takeover check|take|give-back|leave`.

* take: once ours is available, Knative's is scaled to zero; if ours then gets no lease, it is scaled up again.
* give-back: Knative's is scaled up and waited for; ours runs on beside it.
* leave: gives back, ends ours, and waits until Knative's has the leases.
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
    """Ours decides, and Knative's autoscaler is at zero. Raises, with Knative's as it was, if ours cannot."""
    await _available(serving, OUR_DEPLOYMENT, is_new=True)
    stock = await serving.change(STOCK_DEPLOYMENT, _to_zero)
    if stock is None:
        raise TakeoverError(f"namespace {serving.name} has no Deployment {STOCK_DEPLOYMENT} of Knative")
    print(f"Knative's autoscaler: zero replicas (it had {stock.metadata.annotations[STOCK_REPLICAS]})")
    try:
        holders = await serving.until(serving.holders, _all_ours, _not_ours)
    except DiluError:
        await give_back(serving)
        raise
    _print(holders)


def _to_zero(stock: Workload) -> Mapping[str, Any] | None:
    if stock.operator is not None:
        raise TakeoverError(operator_rule(stock.operator))
    if stock.spec.replicas == 0 and STOCK_REPLICAS in stock.metadata.annotations:
        return None
    # One that somebody has scaled to zero by hand is to run again when ours goes: with none, activators do not work.
    remembered = str(max(1, stock.spec.replicas))
    return {"metadata": {"annotations": {STOCK_REPLICAS: remembered}}, "spec": {"replicas": 0}}


async def give_back(serving: ServingNamespace) -> None:
    """Knative's autoscaler has the replicas it had, and they are available."""
    stock = await serving.change(STOCK_DEPLOYMENT, _as_it_was)
    if stock is None:
        print(f"namespace {serving.name} has no Deployment {STOCK_DEPLOYMENT}: nothing to give back")
        return
    await _available(serving, STOCK_DEPLOYMENT)
    print(f"Knative's autoscaler: {stock.spec.replicas} replicas, available")


def _as_it_was(stock: Workload) -> Mapping[str, Any] | None:
    remembered = stock.metadata.annotations.get(STOCK_REPLICAS)
    if stock.spec.replicas == 0 and stock.operator is not None:
        raise TakeoverError(
            f"Knative Operator holds Deployment {STOCK_DEPLOYMENT} at zero (KnativeServing {stock.operator}): remove "
            f"{STOCK_DEPLOYMENT} from its spec.workloads first, or nobody would scale"
        )
    forgotten: dict[str, Any] = {"metadata": {"annotations": {STOCK_REPLICAS: None}}}
    if stock.spec.replicas == 0:
        return {**forgotten, "spec": {"replicas": _replicas(remembered)}}
    return forgotten if remembered is not None else None


def _replicas(remembered: str | None) -> int:
    """A number that anybody could have edited."""
    return max(1, int(remembered)) if remembered is not None and remembered.isdecimal() else 1


async def leave(serving: ServingNamespace) -> None:
    """Knative's autoscaler runs, and no lease is ours; where one was, ours has ended.

    It has to end while it still has its rights, or it could not release the leases.
    """
    await give_back(serving)
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
    except TakeoverError as error:  # Knative's own takes them in its time, and to go on helps more than to stop here
        print(f"warning: {error}")


def _restarted(stock: Workload) -> Mapping[str, Any] | None:
    """As `kubectl rollout restart` does it: one that starts takes a free lease at once.

    One that stands by looks every 10 to 22 s, and for so long no request would wake a revision.
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
    return f"Knative's autoscaler has not got all leases yet ({_listed(holders)})"


def _print(holders: Mapping[str, Holder]) -> None:
    for bucket, holder in holders.items():
        print(f"{bucket}: {holder.pod}")


def _listed(holders: Mapping[str, Holder]) -> str:
    return ", ".join(f"{bucket}: {holder.pod or 'nobody'}" for bucket, holder in holders.items())


_VERBS: Final = {"take": take, "give-back": give_back, "leave": leave}


async def run(arguments: argparse.Namespace) -> None:
    """One verb, with a client of its own."""
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
    """The exit code: 0 done, 1 refused or failed, with one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m dilu_autoscaler.knative.installing.takeover")
    parser.add_argument("verb", choices=["check", *_VERBS])
    parser.add_argument("--namespace", default="knative-serving", help="Knative Serving's")
    parser.add_argument("--kubeconfig", type=Path, help="default: $KUBECONFIG, or the pod's service account")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds for each step")
    parser.add_argument("--release", default="", help="check: the release that is being installed")
    parser.add_argument("--scales-stock", action="store_true", help="check: this installation will take")
    parser.add_argument("--any-version", action="store_true", help="check: of any version of Knative")
    try:
        asyncio.run(run(parser.parse_args(argv)))
    except DiluError as error:
        print(f"dilu: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
