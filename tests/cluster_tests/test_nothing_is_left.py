"""After `down` the machine is as it was before `up`: also when the tool was killed, and when the start failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster_tests.machine_state import MachineState, machine_state
from testcluster.cluster import Cluster, open_cluster
from testcluster.places import ROOT, places_of

NAME = "dilu-second"
MARKS = (f"--name {NAME}", f"/{NAME}/", f"--name\0{NAME}")


def tool(*arguments: str, path: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tools.testcluster", "--name", NAME, *arguments]
    environment = {**os.environ, "PATH": path + os.environ["PATH"]}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> str:
    with process:
        output, _ = process.communicate(timeout=180)
    return output


def kill_at(moment: str, *arguments: str, number: signal.Signals = signal.SIGKILL) -> None:
    """A signal to the tool, and to nothing else, as soon as it says that it has come this far; returns when it ends."""
    with tool(*arguments) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if moment in line:
                break
        process.send_signal(number)
        process.stdout.read()


def state_beside(cluster: Cluster) -> MachineState:
    assert cluster.record.init is not None
    return machine_state(marks=MARKS, without=[cluster.record.init.pid])


@pytest.fixture
def before(cluster: Cluster) -> Iterator[MachineState]:
    yield state_beside(cluster)
    finish(tool("down"))


def test_two_clusters_run_at_once_and_of_the_second_nothing_is_left(cluster: Cluster, before: MachineState) -> None:
    output = finish(tool("up"))
    second = open_cluster(NAME)
    assert f"{NAME} is up" in output
    assert [node["metadata"]["name"] for node in second.api.items("v1", "Node")] == [f"{NAME}-node"]
    assert [node["metadata"]["name"] for node in cluster.api.items("v1", "Node")] == [cluster.node]
    second.run("kn", "service", "create", "hello", "--image", "dev.local/helloworld:v1")
    assert second.http("http://hello.default.example.com").status == 200
    second.api.close()
    assert state_beside(cluster).new_since(before).keys() >= {"processes", "namespaces", "cgroups", "directories"}
    finish(tool("down"))
    assert state_beside(cluster).new_since(before) == {}


@pytest.mark.parametrize(
    "moment", ["certificates", "container runtime", "control plane", "Knative and Kourier"], ids=lambda text: text
)
def test_nothing_is_left_of_a_start_that_was_killed(cluster: Cluster, before: MachineState, moment: str) -> None:
    kill_at(moment, "up")
    assert places_of(NAME).directory.exists()
    assert "was not stopped" in finish(tool("up"))
    finish(tool("down"))
    assert state_beside(cluster).new_since(before) == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_start_that_is_interrupted_removes_what_it_started(
    cluster: Cluster, before: MachineState, number: signal.Signals
) -> None:
    kill_at("control plane", "up", number=number)
    assert state_beside(cluster).new_since(before) == {}


def test_a_stop_that_was_killed_is_finished_by_the_next(cluster: Cluster, before: MachineState) -> None:
    kill_at("control plane", "up")
    kill_at("stopping", "down")
    finish(tool("down"))
    assert state_beside(cluster).new_since(before) == {}


def test_a_failed_start_shows_the_end_of_the_log_and_the_cause_and_leaves_nothing(
    cluster: Cluster, before: MachineState, tmp_path: Path
) -> None:
    etcd = tmp_path / "etcd"
    etcd.write_text("#!/bin/sh\necho 'write /var/lib/etcd: no space left on device'\nexit 3\n")
    etcd.chmod(0o755)
    output = finish(tool("up", path=f"{tmp_path}:"))
    assert "etcd ended with exit code 3" in output
    assert "write /var/lib/etcd: no space left on device\nThe disk is full." in output
    left = state_beside(cluster).new_since(before)
    assert left == {"directories": [str(places_of(NAME).failed_logs)]}
    finish(tool("down"))
    assert state_beside(cluster).new_since(before) == {}
