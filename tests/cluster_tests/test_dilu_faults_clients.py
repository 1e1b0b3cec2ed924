"""Clients of our stat server that send garbage, flood it or never read do not keep an activator's report from it."""

from __future__ import annotations

import contextlib
from contextlib import ExitStack

import pytest

from cluster_tests.bad_clients import BINARY, PING, STAT_PORT, connected, flooding, frame, garbage, upgraded
from cluster_tests.dilu_faults import ask_once, restarts_of, with_activators_settled, with_new_pods
from testcluster.cluster import Cluster
from testcluster.dilu_install import Dilu
from testcluster.services import create_service, wait_for_zero

COLD_START_S = 10.0  # on a busy machine
CLIENTS = 8


def test_garbage_does_not_keep_a_cold_start(cluster: Cluster, namespace: str, dilu: Dilu) -> None:
    with_new_pods(dilu)
    url: str = create_service(cluster, namespace, "sleeping")["status"]["url"]
    wait_for_zero(cluster, namespace, "sleeping")
    with ExitStack() as open_:
        for pod in dilu.pods():
            for content in garbage().values():
                plain, upgrade = connected(cluster, pod), upgraded(cluster, pod)
                open_.enter_context(contextlib.closing(plain))
                open_.enter_context(contextlib.closing(upgrade))
                for one in (plain, upgrade):
                    with contextlib.suppress(ConnectionError):
                        one.sendall(content)
        waited = ask_once(cluster, url)
    undecodable = [dilu.numbers(pod)["dilu_stat_frames_undecodable_total"] for pod in dilu.pods()]
    print(f"from zero {waited.seconds:.1f} s; undecodable {undecodable}")
    assert waited.status == 200
    assert waited.seconds < COLD_START_S
    assert min(undecodable) >= 1
    assert restarts_of(dilu) == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [frame(BINARY, b"\xff" * 64) * 64, frame(BINARY, bytes(2**20)), frame(PING, b"x" * 100) * 64],
    ids=["no-reports", "long-frames", "pings-whose-answers-are-not-read"],
)
def test_a_flood_does_not_keep_a_cold_start(cluster: Cluster, namespace: str, dilu: Dilu, content: bytes) -> None:
    with_new_pods(dilu)
    url: str = create_service(cluster, namespace, "sleeping")["status"]["url"]
    restarts = with_activators_settled(cluster)
    wait_for_zero(cluster, namespace, "sleeping")
    with ExitStack() as floods:
        seen = [floods.enter_context(flooding(cluster, pod, content, clients=CLIENTS)) for pod in dilu.pods()]
        waits = []
        for _ in range(2):
            waits.append(ask_once(cluster, url))
            wait_for_zero(cluster, namespace, "sleeping")
    times = [f"{one.seconds:.1f} s" for one in waits]
    print(f"from zero {times}; {[one.sent_bytes // 2**20 for one in seen]} MiB; port {STAT_PORT}")
    assert [one.status for one in waits] == [200, 200]
    assert max(one.seconds for one in waits) < COLD_START_S
    assert restarts_of(dilu) == [0, 0]
    assert with_activators_settled(cluster) == restarts
