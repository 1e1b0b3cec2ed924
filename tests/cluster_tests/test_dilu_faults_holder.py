"""The pod that decides is killed or stopped: another follows, no request is lost, and never do two decide."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from cluster_tests.api_relay import audited_api_server
from cluster_tests.dilu_faults import (
    LEASE,
    LEASE_S,
    RETRY_S,
    SLACK_S,
    ask_once,
    busy_service,
    claims_watched,
    kill,
    lease_watched,
    pause_until,
    request_in_flight,
    stopped,
    traffic,
    wait_until,
    with_activators_settled,
    with_new_pods,
)
from testcluster.api import Object
from testcluster.cluster import Cluster
from testcluster.dilu_install import OURS, SERVING_NAMESPACE, Dilu
from testcluster.services import create_service, wait_for_zero

FOLLOWED_S = LEASE_S + RETRY_S + SLACK_S
STOPPED_S = 40.0
COLD_START_S = 10.0  # on a busy machine


def at_zero(cluster: Cluster, namespace: str, name: str) -> str:
    url: str = create_service(cluster, namespace, name)["status"]["url"]
    wait_for_zero(cluster, namespace, name)
    return url


def test_a_holder_that_is_killed_under_traffic_loses_no_request(cluster: Cluster, namespace: str, dilu: Dilu) -> None:
    with_new_pods(dilu)
    sleeping = at_zero(cluster, namespace, "sleeping")
    running: str = create_service(cluster, namespace, "running")["status"]["url"]
    with ExitStack() as watching:
        seen = watching.enter_context(traffic(cluster, running))
        holders = watching.enter_context(lease_watched(cluster))
        claims = watching.enter_context(claims_watched(dilu))
        wait_until("traffic", lambda: len(seen.asked) > 10, timeout_s=30.0)
        kill(dilu.holder())
        waited = ask_once(cluster, sleeping)
        wait_until("the pod is there again", lambda: len(dilu.pods()) == 2, timeout_s=30.0)
    print(f"from zero after the kill: {waited.seconds:.1f} s; {seen}; holders {holders.pods}")
    assert (waited.status, seen.failed, claims.doubled) == (200, [], [])
    assert waited.seconds < FOLLOWED_S + COLD_START_S


@pytest.mark.slow
def test_a_holder_that_is_killed_during_a_cold_start_loses_no_request(
    cluster: Cluster, namespace: str, dilu: Dilu
) -> None:
    with_new_pods(dilu)
    sleeping = at_zero(cluster, namespace, "sleeping")
    busy = busy_service(cluster, namespace, "busy", pods=3)
    with ExitStack() as watching:
        seen, scales = watching.enter_context(busy.load())
        claims = watching.enter_context(claims_watched(dilu))
        flying = watching.enter_context(request_in_flight(cluster, sleeping))
        kill(dilu.holder())
        waited = flying.result()
        pause_until(time.monotonic() + FOLLOWED_S)
    print(f"cold start in flight: {waited.seconds:.1f} s; {seen}; scale {scales.seen}")
    assert (waited.status, seen.failed, claims.doubled) == (200, [], [])
    assert min(scales.seen) >= busy.pods - 1


@pytest.mark.slow
def test_the_other_takes_over_when_the_holder_does_not_return(cluster: Cluster, namespace: str, dilu: Dilu) -> None:
    with_new_pods(dilu)
    sleeping = at_zero(cluster, namespace, "sleeping")
    busy = busy_service(cluster, namespace, "busy", pods=3)
    with ExitStack() as watching:
        seen, scales = watching.enter_context(busy.load())
        claims = watching.enter_context(claims_watched(dilu))
        holder = dilu.holder()
        # Killed first: a pod that is deleted is told to end, and gives its lease back.
        kill(holder)
        cluster.api.delete("v1", "Pod", holder, SERVING_NAMESPACE, grace_s=0)
        began_s = time.monotonic()
        flying = watching.enter_context(request_in_flight(cluster, sleeping))
        follower = dilu.wait_for_holder(OURS, but=holder, timeout_s=FOLLOWED_S)
        followed_s = time.monotonic() - began_s
        waited = flying.result()
        pause_until(time.monotonic() + FOLLOWED_S)
    print(f"{follower} follows after {followed_s:.1f} s; from zero {waited.seconds:.1f} s; {seen}; scale {scales.seen}")
    assert (waited.status, seen.failed, claims.doubled) == (200, [], [])
    assert min(scales.seen) >= busy.pods - 1
    assert waited.seconds < followed_s + COLD_START_S


@pytest.mark.slow
def test_both_killed_at_once_lose_no_request_and_come_back(cluster: Cluster, namespace: str, dilu: Dilu) -> None:
    with_new_pods(dilu)
    sleeping = at_zero(cluster, namespace, "sleeping")
    restarts = with_activators_settled(cluster)
    busy = busy_service(cluster, namespace, "busy", pods=3)
    with ExitStack() as watching:
        seen, scales = watching.enter_context(busy.load())
        claims = watching.enter_context(claims_watched(dilu))
        for pod in dilu.pods():
            kill(pod["metadata"]["name"])
        waited = ask_once(cluster, sleeping)
        pause_until(time.monotonic() + FOLLOWED_S)
    print(f"from zero {waited.seconds:.1f} s; {seen}; scale {scales.seen}")
    assert (waited.status, seen.failed, claims.doubled) == (200, [], [])
    assert min(scales.seen) >= busy.pods - 1
    assert with_activators_settled(cluster) == restarts


@pytest.mark.slow
def test_a_holder_that_was_stopped_for_40_s_writes_nothing_when_it_goes_on(
    cluster: Cluster, namespace: str, dilu: Dilu
) -> None:
    with_new_pods(dilu)
    sleeping = at_zero(cluster, namespace, "sleeping")
    restarts = with_activators_settled(cluster)
    busy = busy_service(cluster, namespace, "busy", pods=3)
    holder = dilu.holder()
    [pod] = [one for one in dilu.pods() if one["metadata"]["name"] == holder]
    with ExitStack() as watching:
        audit = watching.enter_context(audited_api_server(cluster))
        seen, scales = watching.enter_context(busy.load())
        holders = watching.enter_context(lease_watched(cluster))
        claims = watching.enter_context(claims_watched(dilu))
        began_s = time.monotonic()
        with stopped(holder):
            pause_until(began_s + 1.0)
            before = audit.writers()
            follower = dilu.wait_for_holder(OURS, but=holder, timeout_s=FOLLOWED_S)
            followed_s = time.monotonic() - began_s
            waited = ask_once(cluster, sleeping)
            pause_until(began_s + STOPPED_S)
        wait_until("the stopped one knows the holder", lambda: names_holder(dilu, pod, follower), timeout_s=10.0)
        pause_until(time.monotonic() + 10.0)
        after = audit.writers()
    print(f"followed after {followed_s:.1f} s; from zero {waited.seconds:.1f} s; {seen}; {holders.pods}; {scales.seen}")
    print(f"writes before and after: {before}, {after}")
    assert (waited.status, seen.failed, claims.doubled) == (200, [], [])
    assert min(scales.seen) >= busy.pods - 1
    assert with_activators_settled(cluster) == restarts
    assert holders.pods == [holder, follower]
    # At the moment of the stop a renewal may have been on its way.
    assert after[holder] - before[holder] <= 1
    assert after[follower] > before[follower]


@pytest.mark.slow
@pytest.mark.parametrize("is_lease_deleted", [False, True], ids=["lease-left", "lease-deleted"])
def test_of_two_that_start_at_once_one_holds(
    cluster: Cluster, namespace: str, dilu: Dilu, is_lease_deleted: bool
) -> None:
    with_new_pods(dilu)
    running: str = create_service(cluster, namespace, "running")["status"]["url"]
    old = [one["metadata"]["name"] for one in dilu.pods()]
    with traffic(cluster, running) as seen, lease_watched(cluster) as holders, claims_watched(dilu) as claims:
        for pod in old:
            kill(pod)
            cluster.api.delete("v1", "Pod", pod, SERVING_NAMESPACE, grace_s=0)
        if is_lease_deleted:
            cluster.api.delete(*LEASE)
        began_s = time.monotonic()
        wait_until("new pods", lambda: not {one["metadata"]["name"] for one in dilu.pods()} & set(old), timeout_s=60.0)
        dilu.wait_for_pods(2)
        wait_until("a new holder", lambda: dilu.holder() not in ("", *old), timeout_s=60.0)
        taken_s = time.monotonic() - began_s
        pause_until(time.monotonic() + 3 * RETRY_S)
    new = [pod for pod in holders.pods if pod and pod not in old]
    print(f"held after {taken_s:.1f} s; {seen}; holders {holders.pods}; asked {claims.asked} times")
    assert (seen.failed, claims.doubled, len(new)) == ([], [], 1)


def names_holder(dilu: Dilu, pod: Object, holder: str) -> bool:
    """Whether the pod says that this one holds the lease."""
    named = f'holder="{holder}"'
    return any(value == 1 and named in name for name, value in dilu.numbers(pod).items())
