"""The API server stops, or is slow: running services keep answering, nothing is scaled down, and ours catches up."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from cluster_tests.api_relay import component_pid, dead_api_server, frozen_api_server
from cluster_tests.dilu_faults import (
    SLACK_S,
    ask_once,
    busy_service,
    claims_watched,
    lease_watched,
    pause_until,
    request_in_flight,
    restarts_of,
    wait_until,
    with_activators_settled,
    with_new_pods,
)
from testcluster import components
from testcluster.cluster import Cluster
from testcluster.dilu_install import Dilu
from testcluster.health import start_and_wait
from testcluster.services import create_service, wait_for_zero
from testcluster.sockets import unchecked_context

CONTROLLERS = "kube-controller-manager"
AWAY_S = 60.0
CAUGHT_UP_S = 15.0  # ours has its lease again and has scaled
ANSWERED_S = 100.0  # the scheduler and the kubelet have come back, which took them 45 s and 10 s more
SLOW_S = 60.0
PULSE_S = (1.5, 0.5)  # for the first time etcd stands still, for the second it runs


@pytest.mark.slow
@pytest.mark.timeout(420, func_only=True)
@pytest.mark.parametrize("outage", [dead_api_server, frozen_api_server], ids=["killed", "frozen"])
def test_without_the_api_for_60_s_what_runs_goes_on_and_nothing_is_scaled_down(
    cluster: Cluster, namespace: str, dilu: Dilu, outage: Callable[[Cluster], AbstractContextManager[None]]
) -> None:
    with_new_pods(dilu)
    url: str = create_service(cluster, namespace, "sleeping")["status"]["url"]
    wait_for_zero(cluster, namespace, "sleeping")
    restarts = with_activators_settled(cluster)
    busy = busy_service(cluster, namespace, "busy", pods=3)
    with ExitStack() as watching:
        seen, scales = watching.enter_context(busy.load())
        claims = watching.enter_context(claims_watched(dilu))
        ours = dilu.pods()
        asked_before = len(seen.asked)
        with without_controllers(cluster), outage(cluster):
            began_s = time.monotonic()
            pause_until(began_s + AWAY_S / 2)
            flying = watching.enter_context(request_in_flight(cluster, url))
            clients = [websockets(dilu, pod) for pod in ours]
            pause_until(began_s + AWAY_S)
            asked_during = len(seen.asked) - asked_before
        back_s = time.monotonic()
        caught_up_s = wait_until("scaled up", lambda: replicas(cluster, namespace, "sleeping") > 0, timeout_s=60.0)
        waited = flying.result()
        answered_s = time.monotonic() - back_s
        pause_until(time.monotonic() + 20.0)
    print(f"{seen}, {asked_during} of them meanwhile; scale {scales.seen}; websockets {clients}")
    print(f"a request from zero meanwhile: scaled {caught_up_s:.1f} s, answered {answered_s:.1f} s after the end")
    assert (waited.status, seen.failed, claims.doubled) == (200, [], [])
    assert asked_during > AWAY_S
    assert sum(clients) >= len(restarts)  # the activators' connections are kept
    assert min(scales.seen) >= busy.pods - 1
    assert caught_up_s < CAUGHT_UP_S
    assert answered_s < ANSWERED_S
    assert with_activators_settled(cluster) == restarts
    assert restarts_of(dilu) == [0, 0]


@pytest.mark.slow
def test_with_a_slow_etcd_nothing_is_lost(cluster: Cluster, namespace: str, dilu: Dilu) -> None:
    with_new_pods(dilu)
    url: str = create_service(cluster, namespace, "sleeping")["status"]["url"]
    wait_for_zero(cluster, namespace, "sleeping")
    busy = busy_service(cluster, namespace, "busy", pods=3)
    with ExitStack() as watching:
        seen, scales = watching.enter_context(busy.load())
        holders = watching.enter_context(lease_watched(cluster))
        claims = watching.enter_context(claims_watched(dilu))
        with slow_etcd(cluster):
            began_s = time.monotonic()
            waited = ask_once(cluster, url)
            pause_until(began_s + SLOW_S)
        pause_until(time.monotonic() + SLACK_S)
    print(f"{seen}; from zero {waited.seconds:.1f} s; holders {holders.pods}; scale {scales.seen}")
    assert (waited.status, seen.failed, claims.doubled) == (200, [], [])
    assert min(scales.seen) >= busy.pods - 1
    assert restarts_of(dilu) == [0, 0]


@contextmanager
def without_controllers(cluster: Cluster) -> Iterator[None]:
    """Kubernetes' controllers are away meanwhile, as with a control plane that is down as a whole.

    One that continues finds after 50 s that no node sends a heartbeat, and takes all pods for not ready once the API
    is back: then gateways have no pod to send a request to, with any autoscaler.
    """
    component = components.controller_manager(cluster.places, str(Path(cluster.record.programs) / CONTROLLERS))
    cluster.sandbox.stop(CONTROLLERS, number=signal.SIGKILL)
    try:
        yield
    finally:
        start_and_wait(cluster.sandbox, cluster.places, component, unchecked_context())


def replicas(cluster: Cluster, namespace: str, service: str) -> int:
    """How many replicas the service's first revision is asked for."""
    found: int = cluster.api.get("apps/v1", "Deployment", f"{service}-00001-deployment", namespace)["spec"]["replicas"]
    return found


def websockets(dilu: Dilu, pod: dict[str, object]) -> int:
    """How many websockets are open at a pod, which needs no API to say so."""
    return int(dilu.numbers(pod)["dilu_websocket_clients"])


@contextmanager
def slow_etcd(cluster: Cluster) -> Iterator[None]:
    """The store stands still most of the time."""
    pid, over = component_pid(cluster, "etcd"), threading.Event()

    def pulse() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGSTOP)
            over.wait(PULSE_S[0])
            os.kill(pid, signal.SIGCONT)
            over.wait(PULSE_S[1])

    assert Path(f"/proc/{pid}").exists()
    thread = threading.Thread(target=pulse)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
