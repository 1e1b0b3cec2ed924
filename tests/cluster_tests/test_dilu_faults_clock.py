"""The clock of the one that decides is set forward and back by an hour, under traffic.

It is a third replica outside of the cluster's pods, whose wall clock is wrong by as much as the test says. All others,
the API server's and the pods' among them, are right.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from cluster_tests.dilu_faults import (
    ask_once,
    busy_service,
    lease_watched,
    pause_until,
    stopped,
    wait_until,
    with_activators_settled,
    with_new_pods,
)
from testcluster.cluster import Cluster
from testcluster.dilu_install import SERVING_NAMESPACE, Dilu
from testcluster.network import NODE_IP
from testcluster.places import ROOT
from testcluster.services import create_service, wait_for_zero

THIRD: Final = "dilu-autoscaler-third"
STEPS_S: Final = (3600.0, 0.0, -3600.0)
AFTER_STEP_S: Final = 20.0
COLD_START_S: Final = 10.0


@pytest.mark.slow
@pytest.mark.timeout(420, func_only=True)
def test_a_clock_that_is_set_by_an_hour_loses_no_request_and_scales_nothing_down(
    cluster: Cluster, namespace: str, dilu: Dilu, tmp_path: Path
) -> None:
    with_new_pods(dilu)
    restarts = with_activators_settled(cluster)
    url: str = create_service(cluster, namespace, "sleeping")["status"]["url"]
    busy = busy_service(cluster, namespace, "busy", pods=3)
    with third_replica(cluster, tmp_path / "third.log") as third:
        hand_over_to_third(dilu)
        waits = []
        with ExitStack() as watching:
            seen, scales = watching.enter_context(busy.load())
            holders = watching.enter_context(lease_watched(cluster))
            for step_s in STEPS_S:
                wait_for_zero(cluster, namespace, "sleeping")
                set_clock(third, step_s)
                began_s = time.monotonic()
                waits.append(ask_once(cluster, url))
                pause_until(began_s + AFTER_STEP_S)
            # Nothing goes to zero an hour behind: it is active since a time to come, by what its status says.
            set_clock(third, 0.0)
            wait_for_zero(cluster, namespace, "sleeping")
            waits.append(ask_once(cluster, url))
    print(f"{seen}; from zero {[round(one.seconds, 1) for one in waits]} s; scale {scales.seen}; {holders.pods}")
    assert seen.failed == []
    assert [one.status for one in waits] == [200] * (len(STEPS_S) + 1)
    assert max(one.seconds for one in waits) < COLD_START_S
    assert min(scales.seen) >= busy.pods - 1
    assert holders.pods == [THIRD]
    assert with_activators_settled(cluster) == restarts


@contextmanager
def third_replica(cluster: Cluster, log: Path) -> Iterator[subprocess.Popen[str]]:
    """A further `dilu autoscaler`, on the node's own address."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "tests"),
        "KUBECONFIG": str(cluster.places.kubeconfig),
        "POD_NAME": THIRD,
        "POD_IP": NODE_IP,
        "SYSTEM_NAMESPACE": SERVING_NAMESPACE,
    }
    # With the cluster's names: it asks whether an activator answers in a revision's place before that goes to zero.
    enter = ["nsenter", f"--target={cluster.sandbox.init.pid}", "--mount", "--net", f"--wdns={ROOT}", "--"]
    command = [*enter, sys.executable, "-m", "cluster_tests.stepped_clock_process", "autoscaler"]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output, text=True
        )
        try:
            wait_until("the third replica listens", lambda: "port=8080" in log.read_text(), timeout_s=30.0)
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=30.0)


def hand_over_to_third(dilu: Dilu) -> None:
    """Neither of the pods renews its lease, until the third has it."""
    with ExitStack() as halted:
        for pod in dilu.pods():
            halted.enter_context(stopped(pod["metadata"]["name"]))
        wait_until("the third holds", lambda: dilu.holder() == THIRD, timeout_s=30.0)


def set_clock(third: subprocess.Popen[str], wrong_by_s: float) -> None:
    assert third.stdin is not None
    third.stdin.write(f"{wrong_by_s}\n")
    third.stdin.flush()
