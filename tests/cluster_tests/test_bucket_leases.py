"""Processes that want one lease of a real API server, and what becomes of it when they are killed or stopped."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from cluster_tests.bucket_lease_process import DURATIONS as D
from testcluster.api import Object
from testcluster.cluster import Cluster
from testcluster.places import ROOT

BUCKET = "test-bucket-00-of-01"  # not one of Knative's own
LEASE = ("coordination.k8s.io/v1", "Lease", BUCKET)
SLICE = ("discovery.k8s.io/v1", "EndpointSlice", BUCKET)
SLACK_S = 3.0  # for a busy machine


class Elector:
    """One of the processes."""

    def __init__(self, cluster: Cluster, namespace: str, number: int) -> None:
        self.ip = f"10.66.0.{number}"
        self.identity = f"elector-{number}_{self.ip}"
        arguments = (str(cluster.places.kubeconfig), namespace, BUCKET, self.identity)
        command = cluster.command([sys.executable, "-m", "cluster_tests.bucket_lease_process", *arguments])
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)
        self.heard: list[dict[str, Any]] = []
        self._lines: queue.Queue[Any] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.until("started", timeout_s=60.0)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put({"event": "ended"})

    def begin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def until(self, event: str, *, timeout_s: float, **wanted: object) -> dict[str, Any]:
        """The next such line."""
        deadline_s = time.monotonic() + timeout_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            try:
                line: dict[str, Any] = self._lines.get(timeout=left_s)
            except queue.Empty:
                break
            self.heard.append(line)
            if line["event"] == event and wanted.items() <= line.items():
                return line
        raise AssertionError(f"{self.identity}: no {event} {wanted} within {timeout_s} s; it said {self.heard}")

    def changes(self) -> list[dict[str, Any]]:
        """The changes that it reported and that were not read yet."""
        lines = []
        while not self._lines.empty():
            lines.append(self._lines.get())
        return [line for line in lines if line["event"] == "change"]

    def ask(self) -> dict[str, Any]:
        self.process.send_signal(signal.SIGUSR1)
        return self.until("answer", timeout_s=10.0)

    def end(self) -> None:
        with self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self._reader.join()


Start = Callable[[], Elector]


@pytest.fixture
def start(cluster: Cluster, namespace: str) -> Iterator[Start]:
    """Starts another process, which waits for `begin`."""
    with ExitStack() as stack:
        electors: list[Elector] = []

        def one() -> Elector:
            elector = Elector(cluster, namespace, len(electors) + 1)
            stack.callback(elector.end)
            electors.append(elector)
            return elector

        yield one


def holding_and_waiting(start: Start) -> tuple[Elector, Elector]:
    holder, other = start(), start()
    holder.begin()
    holder.until("change", holds=True, timeout_s=10.0)
    other.begin()
    other.until("change", holds=False, holder=holder.identity, timeout_s=10.0)
    return holder, other


def spec(cluster: Cluster, namespace: str) -> Object:
    found: Object = cluster.api.get(*LEASE, namespace)["spec"]
    return found


def test_of_two_that_race_at_their_start_one_holds_the_lease(cluster: Cluster, namespace: str, start: Start) -> None:
    electors = [start(), start()]
    for elector in electors:
        elector.begin()
    first = [elector.until("change", timeout_s=10.0) for elector in electors]
    assert sorted(change["holds"] for change in first) == [False, True]
    holder = electors[[change["holds"] for change in first].index(True)]
    assert [change["holder"] for change in first] == [holder.identity] * 2
    assert spec(cluster, namespace)["holderIdentity"] == holder.identity
    assert spec(cluster, namespace)["leaseDurationSeconds"] == D.lease_s
    assert spec(cluster, namespace)["leaseTransitions"] == 0


def test_after_the_holder_was_killed_the_other_has_the_lease_when_its_time_is_over(
    cluster: Cluster, namespace: str, start: Start
) -> None:
    holder, other = holding_and_waiting(start)
    holder.process.kill()
    killed_s = time.monotonic()
    other.until("change", holds=True, timeout_s=D.lease_s + 2 * D.retry_s + SLACK_S)
    assert time.monotonic() - killed_s > D.lease_s - 1.2 * D.retry_s - 0.5  # since its last renewal
    assert spec(cluster, namespace)["leaseTransitions"] == 1
    address = cluster.api.wait_for(
        *SLICE, namespace, lambda found: found["endpoints"][0]["addresses"] == [other.ip], timeout_s=10.0
    )
    assert address["metadata"]["labels"] == {"kubernetes.io/service-name": BUCKET}


def test_a_holder_that_was_stopped_knows_at_once_that_it_is_none_and_writes_nothing(
    cluster: Cluster, namespace: str, start: Start
) -> None:
    holder, other = holding_and_waiting(start)
    before = holder.ask()
    assert before["holds"]
    holder.process.send_signal(signal.SIGSTOP)
    other.until("change", holds=True, timeout_s=D.lease_s + 2 * D.retry_s + SLACK_S)
    stored = spec(cluster, namespace)
    holder.process.send_signal(signal.SIGUSR1)  # answered first when it continues
    holder.process.send_signal(signal.SIGCONT)
    assert not holder.until("answer", timeout_s=10.0)["holds"]
    holder.until("change", holds=False, holder=other.identity, timeout_s=10.0)
    changes = [(line["holds"], line["holder"]) for line in holder.heard if line["event"] == "change"]
    assert changes == [(True, holder.identity), (False, ""), (False, other.identity)]
    after = holder.ask()
    # At the moment of the stop one renewal may have been on its way.
    assert after["lease_writes"] - before["lease_writes"] <= 1
    now = spec(cluster, namespace)
    assert (now["holderIdentity"], now["acquireTime"]) == (other.identity, stored["acquireTime"])
    assert other.ask()["holds"]
    # It is a candidate like any other again.
    other.process.send_signal(signal.SIGTERM)
    holder.until("change", holds=True, timeout_s=2 * D.retry_s + SLACK_S)
    assert spec(cluster, namespace)["leaseTransitions"] == 2


def test_a_holder_that_is_ended_hands_the_lease_over(cluster: Cluster, namespace: str, start: Start) -> None:
    holder, other = holding_and_waiting(start)
    holder.process.send_signal(signal.SIGTERM)
    holder.until("closed", timeout_s=10.0)
    assert holder.process.wait(10.0) == 0
    other.until("change", holds=True, timeout_s=2 * D.retry_s + SLACK_S)
    assert spec(cluster, namespace)["holderIdentity"] == other.identity


def test_what_others_do_to_a_held_lease_makes_no_other_holder(cluster: Cluster, namespace: str, start: Start) -> None:
    holder, other = holding_and_waiting(start)
    cluster.api.patch(*LEASE, namespace, {"metadata": {"labels": {"team": "search"}}})
    cluster.api.wait_for(*LEASE, namespace, renewed(spec(cluster, namespace)), timeout_s=10.0)
    assert cluster.api.get(*LEASE, namespace)["metadata"]["labels"] == {"team": "search"}
    cluster.api.delete(*LEASE, namespace)
    cluster.api.wait_for(*LEASE, namespace, renewed({}), timeout_s=10.0)
    assert spec(cluster, namespace)["holderIdentity"] == holder.identity
    assert holder.ask()["holds"]
    assert [change["holds"] for change in other.changes()] == []


def renewed(before: Object) -> Callable[[Object], bool]:
    return lambda lease: bool(lease["spec"]["renewTime"] != before.get("renewTime"))


def test_the_holders_address_is_published_once(cluster: Cluster, namespace: str, start: Start) -> None:
    holder, _ = holding_and_waiting(start)
    found = cluster.api.wait_for(*SLICE, namespace, lambda found: True, timeout_s=10.0)
    assert found["addressType"] == "IPv4"
    assert found["endpoints"] == [
        {"addresses": [holder.ip], "conditions": {"ready": True, "serving": True, "terminating": False}}
    ]
    assert found["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    service = cluster.api.get("v1", "Service", BUCKET, namespace)["spec"]
    assert (service.get("selector"), service["ports"]) == (
        None,
        [{"name": "http", "port": 8080, "protocol": "TCP", "targetPort": 8080}],
    )
    assert holder.ask()["address_writes"] == 2
    holder.process.send_signal(signal.SIGUSR2)
    cluster.api.wait_for(*LEASE, namespace, renewed(spec(cluster, namespace)), timeout_s=10.0)
    assert holder.ask()["address_writes"] == 2
