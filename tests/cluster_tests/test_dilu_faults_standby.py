"""Knative's own autoscaler, on standby, takes over when ours ends, and ours takes over again; upgrades lose nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import time

import pytest

from cluster_tests.dilu_faults import (
    LEASE,
    RETRY_S,
    SLACK_S,
    ask_once,
    busy_service,
    lease_watched,
    process_of,
    request_in_flight,
    traffic,
    wait_until,
    with_activators_settled,
)
from testcluster.api import Object
from testcluster.cluster import Cluster
from testcluster.dilu_install import OURS, SERVING_NAMESPACE, STOCK, Dilu
from testcluster.errors import ClusterError
from testcluster.services import create_service, wait_for_zero

TRIES = 5
MEDIAN_S, WORST_S = 40.0, 60.0


def scale(cluster: Cluster, deployment: str, replicas: int) -> None:
    cluster.api.patch("apps/v1", "Deployment", deployment, SERVING_NAMESPACE, {"spec": {"replicas": replicas}})
    cluster.run("kubectl", "-n", SERVING_NAMESPACE, "rollout", "status", f"deployment/{deployment}")


def end_all_of_ours(cluster: Cluster, dilu: Dilu) -> None:
    """At once and for good. They are stopped first, so that none of them gets to give the lease back."""
    processes = {name_of(pod): process_of(name_of(pod)) for pod in dilu.pods()}
    for pid in processes.values():
        os.kill(pid, signal.SIGSTOP)
    cluster.api.patch("apps/v1", "Deployment", OURS, SERVING_NAMESPACE, {"spec": {"replicas": 0}})
    for pod, pid in processes.items():
        cluster.api.delete("v1", "Pod", pod, SERVING_NAMESPACE, grace_s=0)
        os.kill(pid, signal.SIGKILL)


def restart_stock_until_ours_holds(cluster: Cluster, dilu: Dilu) -> int:
    """How many restarts it took. The new pod of a restart looks as well, though less often than ours."""
    for restarts in range(1, 4):
        cluster.run("kubectl", "-n", SERVING_NAMESPACE, "rollout", "restart", f"deployment/{STOCK}")
        cluster.run("kubectl", "-n", SERVING_NAMESPACE, "rollout", "status", f"deployment/{STOCK}")
        with contextlib.suppress(ClusterError):
            dilu.wait_for_holder(OURS, timeout_s=RETRY_S + SLACK_S)
            return restarts
    raise AssertionError("Knative's autoscaler got the lease again and again")


@pytest.mark.slow
@pytest.mark.timeout(900, func_only=True)
def test_stock_on_standby_takes_over_and_releases_to_ours(cluster: Cluster, namespace: str, dilu: Dilu) -> None:
    restarts = with_activators_settled(cluster)
    always = {"autoscaling.knative.dev/min-scale": "1"}
    running: str = create_service(cluster, namespace, "running", annotations=always)["status"]["url"]
    sleeping: str = create_service(cluster, namespace, "sleeping")["status"]["url"]
    taken_s: list[float] = []
    waits_s: list[float] = []
    released_after: list[int] = []
    scale(cluster, STOCK, 1)
    assert dilu.holder().startswith(OURS)  # it stands by
    with traffic(cluster, running) as seen:
        for _ in range(TRIES):
            wait_for_zero(cluster, namespace, "sleeping")
            began_s = time.monotonic()
            end_all_of_ours(cluster, dilu)
            assert str(cluster.api.get(*LEASE)["spec"]["holderIdentity"]).startswith(OURS)  # it was not released
            with request_in_flight(cluster, sleeping) as flying:
                dilu.wait_for_holder(STOCK, timeout_s=90.0)
                taken_s.append(time.monotonic() - began_s)
                waited = flying.result()
            assert waited.status == 200, waited
            waits_s.append(waited.seconds)
            scale(cluster, OURS, 2)
            dilu.wait_for_pods(2)
            assert dilu.holder().startswith(STOCK)  # a live lease is left alone
            released_after.append(restart_stock_until_ours_holds(cluster, dilu))
    scale(cluster, STOCK, 0)
    print(f"stock took over after {[round(one, 1) for one in taken_s]} s, median {statistics.median(taken_s):.1f} s")
    print(f"released after this number of restarts: {released_after}")
    print(f"a request from zero took {[round(one, 1) for one in waits_s]} s; {seen}")
    assert seen.failed == []
    assert statistics.median(taken_s) <= MEDIAN_S
    assert max(taken_s) <= WORST_S
    assert with_activators_settled(cluster) == restarts


@pytest.mark.slow
def test_an_upgrade_and_an_uninstallation_under_traffic_lose_nothing(
    cluster: Cluster, namespace: str, stock_in_place: Dilu
) -> None:
    dilu = stock_in_place
    dilu.install()
    sleeping: str = create_service(cluster, namespace, "sleeping")["status"]["url"]
    busy = busy_service(cluster, namespace, "busy", pods=3)
    wait_for_zero(cluster, namespace, "sleeping")
    with busy.load() as (seen, scales), lease_watched(cluster) as holders:
        old = {name_of(pod) for pod in dilu.pods()}
        with request_in_flight(cluster, sleeping) as during_upgrade:
            dilu.upgrade(values={"autoscaler.podAnnotations.test": "new-template"})
            assert during_upgrade.result().status == 200
        assert not old & {name_of(pod) for pod in dilu.pods()}
        wait_until("a new holder", lambda: dilu.holder() not in ("", *old), timeout_s=20.0)
        wait_for_zero(cluster, namespace, "sleeping")
        with request_in_flight(cluster, sleeping) as during_uninstall:
            dilu.uninstall()
            assert during_uninstall.result().status == 200
        dilu.wait_for_holder(STOCK)
        after = ask_once(cluster, sleeping)
    print(f"{seen}; from zero {during_upgrade.result().seconds:.1f} s, {during_uninstall.result().seconds:.1f} s")
    print(f"holders {holders.pods}; scale {scales.seen}")
    assert (seen.failed, after.status) == ([], 200)
    assert min(scales.seen) >= busy.pods - 1


def name_of(pod: Object) -> str:
    found: str = pod["metadata"]["name"]
    return found
