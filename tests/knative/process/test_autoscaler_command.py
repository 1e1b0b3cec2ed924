"""`dilu autoscaler` as a process of its own: what it refuses, how it ends, and what happens when it dies."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from dilu_autoscaler.knative.cli import autoscaler
from dilu_autoscaler.knative.objects import METRICS
from dilu_kube.resources import LEASES
from knative.process.knative_around import BUCKET, SERVING
from knative.process.processes import Cluster, for_a_while, run
from loops import until

ENVIRONMENT = {"POD_NAME": "dilu-1", "POD_IP": "127.0.0.21", "SYSTEM_NAMESPACE": SERVING}


def test_the_help_names_every_option_and_mode() -> None:
    result = CliRunner().invoke(autoscaler, ["--help"])
    assert result.exit_code == 0
    for word in ("--mode", "--dry-run", "--kubeconfig", "--policy", "--record", "--stat-port", "observe", "coexist"):
        assert word in result.output


class Command:
    """One such process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    @property
    def text(self) -> str:
        """What it said so far."""
        return "\n".join(self.lines)

    async def port(self) -> int:
        """Where it listens."""
        await until(lambda: re.search(r"port=(\d+)", self.text) is not None)
        found = re.search(r"port=(\d+)", self.text)
        assert found is not None
        return int(found[1])

    async def ended(self) -> int:
        """Its exit code."""
        async with asyncio.timeout(15):
            code = await self.process.wait()
            await self._reading
        return code

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip())


@asynccontextmanager
async def command(environment: Mapping[str, str], *options: str) -> AsyncIterator[Command]:
    """`dilu autoscaler` with these options; ended at the end, whatever it does."""
    kept = {name: value for name, value in os.environ.items() if name not in (*ENVIRONMENT, "KUBECONFIG")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dilu", "autoscaler", "--log-format", "plain", "--explain-port", "0", *options),
        env={**kept, **environment},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    made = Command(process)
    try:
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await made.ended()


def serving(cluster: Cluster, environment: Mapping[str, str] = ENVIRONMENT, *options: str) -> tuple[str, ...]:
    return ("--kubeconfig", str(cluster.server.kubeconfig), "--stat-port", "0", *options)


def refused(tmp_path: Path, environment: Mapping[str, str], *options: str) -> tuple[int, str]:
    """The exit code and the last line."""
    seen: list[tuple[int, str]] = []

    async def main(cluster: Cluster) -> None:
        chosen = options if "--kubeconfig" in options else (*serving(cluster)[:2], *options)
        async with command(environment, *chosen) as made:
            code = await made.ended()
            assert "Traceback" not in made.text
            assert "Unclosed" not in made.text
            seen.append((code, made.lines[-1]))

    run(main, tmp_path)
    return seen[0]


@pytest.mark.parametrize("missing", sorted(ENVIRONMENT))
def test_without_a_variable_it_says_which_and_ends(tmp_path: Path, missing: str) -> None:
    environment = {name: value for name, value in ENVIRONMENT.items() if name != missing}
    code, line = refused(tmp_path, environment, "--stat-port", "0")
    assert code == 2
    assert f"ERROR ${missing} is not set" in line


@pytest.mark.parametrize("option", ["--stat-port", "--explain-port"])
def test_a_port_that_is_taken_is_named(tmp_path: Path, option: str) -> None:
    with socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        free = [] if option == "--stat-port" else ["--stat-port", "0"]
        code, line = refused(tmp_path, ENVIRONMENT, option, port, *free)
    assert code == 2
    assert f"cannot listen on port {port}: " in line


def test_a_policy_that_does_not_exist_a_folder_that_is_none_and_a_bad_kubeconfig_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    code, line = refused(tmp_path, ENVIRONMENT, "--policy", "best", "--stat-port", "0")
    assert (code, "policy = 'best', must be one of: " in line) == (2, True)
    code, line = refused(tmp_path, ENVIRONMENT, "--record", str(tmp_path / "file" / "in"), "--stat-port", "0")
    assert (code, "cannot record there" in line) == (2, True)
    code, line = refused(tmp_path, ENVIRONMENT, "--kubeconfig", str(tmp_path / "file"), "--stat-port", "0")
    assert (code, f"kubeconfig {tmp_path / 'file'} cannot be used" in line) == (2, True)


def test_a_signal_gives_the_lease_back_tells_the_activators_and_ends_well(tmp_path: Path) -> None:
    async def main(cluster: Cluster) -> None:
        cluster.knative.configure()
        cluster.knative.idle_revision()
        async with command(ENVIRONMENT, *serving(cluster)) as made:
            await cluster.activator.connect(await made.port())
            await until(lambda: cluster.knative.holder() == "dilu-1_127.0.0.21")
            made.process.send_signal(signal.SIGTERM)
            assert await made.ended() == 0
            await until(lambda: cluster.activator.closed_with == 1012)
            assert cluster.knative.holder() == ""
            lease = cluster.server.get(LEASES, SERVING, BUCKET)
            assert lease is not None
            assert lease["spec"]["leaseDurationSeconds"] == 1
            assert "ERROR" not in made.text
            assert "Unclosed" not in made.text

    run(main, tmp_path)


def test_a_signal_tells_the_activators_at_once_though_the_api_hangs(tmp_path: Path) -> None:
    async def main(cluster: Cluster) -> None:
        cluster.knative.configure()
        async with command(ENVIRONMENT, *serving(cluster)) as made:
            await cluster.activator.connect(await made.port())
            await until(lambda: cluster.knative.holder() == "dilu-1_127.0.0.21")
            cluster.server.hangs = True
            made.process.send_signal(signal.SIGTERM)
            await until(lambda: cluster.activator.closed_with == 1012, within_s=1.0)
            assert made.process.returncode is None
            assert await made.ended() == 0
            assert "not released" in made.text

    run(main, tmp_path, within_s=30.0)


def test_a_signal_ends_it_while_it_still_waits_for_the_configuration(tmp_path: Path) -> None:
    async def main(cluster: Cluster) -> None:
        async with command(ENVIRONMENT, *serving(cluster)) as made:
            await cluster.activator.connect(await made.port())  # it is served before anything is known
            await until(lambda: "waiting for ConfigMaps" in made.text)
            made.process.send_signal(signal.SIGTERM)
            assert await made.ended() == 0
            await until(lambda: cluster.activator.closed_with == 1012)

    run(main, tmp_path)


@pytest.mark.slow
def test_one_that_is_killed_is_followed_by_the_other_which_answers_the_next_request(tmp_path: Path) -> None:
    async def main(cluster: Cluster) -> None:
        knative = cluster.knative
        knative.configure()
        knative.idle_revision()
        async with command(ENVIRONMENT, *serving(cluster)) as first:
            await until(lambda: knative.holder() == "dilu-1_127.0.0.21")
            other = {**ENVIRONMENT, "POD_NAME": "dilu-2", "POD_IP": "127.0.0.22"}
            async with command(other, *serving(cluster)) as second:
                await cluster.activator.connect(await second.port())
                await until(lambda: "held by dilu-1_127.0.0.21" in second.text)
                first.process.kill()
                began_s = asyncio.get_running_loop().time()
                await until(lambda: knative.holder() == "dilu-2_127.0.0.22", within_s=40.0)
                assert asyncio.get_running_loop().time() - began_s >= 10.0  # a live lease is left alone
                while not knative.scaled():  # an activator reports each second while a request waits
                    await cluster.activator.report()
                    await for_a_while(1.0)
                assert knative.scaled() == [1]

    run(main, tmp_path, within_s=60.0, addresses=["127.0.0.2"])


@pytest.mark.slow
def test_one_that_was_frozen_writes_nothing_that_another_has_to_decide(tmp_path: Path) -> None:
    async def main(cluster: Cluster) -> None:
        knative, server = cluster.knative, cluster.server
        knative.configure()
        knative.idle_revision()
        async with command(ENVIRONMENT, *serving(cluster)) as made:
            await cluster.activator.connect(await made.port())
            await until(lambda: server.get(METRICS, "ns", "rev") is not None)
            await for_a_while(1.5)
            made.process.send_signal(signal.SIGSTOP)
            await for_a_while(10.5)
            knative.give_lease("other_127.0.0.99")
            before = len(server.changes)
            await cluster.activator.report(concurrency=4.0)
            made.process.send_signal(signal.SIGCONT)
            await until(lambda: "held by other_127.0.0.99" in made.text)
            await for_a_while(2.5)
            assert [one.plural for one in server.changes[before:]] == []
            assert knative.scaled() == []

    run(main, tmp_path, within_s=60.0, addresses=["127.0.0.2"])
