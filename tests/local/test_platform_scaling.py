"""A whole platform with real replicas, and a policy that is quick to go in: from zero and back, out and in."""

from __future__ import annotations

import asyncio
import http.client
import json
import math
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dilu.http.listener import bind
from dilu.spec import FunctionSpec, function_spec
from dilu.spec.names import ENV_RUN_DIR
from dilu_autoscaler.load_sampler import whole_us
from dilu_autoscaler.local.backends import WaitLimits
from dilu_autoscaler.local.functions import LocalFunction
from dilu_autoscaler.local.launch_spec import FunctionPlan, LaunchPlan
from dilu_autoscaler.local.platform import Platform
from dilu_autoscaler.local.proxied_request import GatewayLimits
from dilu_autoscaler.local.run_directory import claim, run_directory, running
from dilu_autoscaler.policy.horizontal import (
    POLICIES,
    Decision,
    Observation,
    Policy,
)
from local.gateway_bench import run

SOURCE = """
    import os, time
    import dilu

    @dilu.function(slo_ms=5000)
    class Work:
        def load(self):
            time.sleep(0.2)
        def predict(self, seconds: float):
            time.sleep(seconds)
            return os.getpid()
"""


def _decide(most: int, seen: Observation, quiet: int, now_s: float) -> tuple[Decision, int]:
    """As many replicas as requests were in flight (two of each at once); none after a quiet second."""
    if seen.waiting and seen.desired == 0:
        return Decision(replicas=1, reason="a request waits"), 0
    next_change_s = now_s + 1.0 if seen.desired else None
    if not seen.samples:
        return Decision(replicas=None, reason="nothing new", next_change_s=next_change_s), 0
    load = seen.samples[-1].concurrency
    if load == 0:
        return Decision(replicas=0, reason="quiet"), 0
    wanted = max(1, min(most, math.ceil(load / 2)))
    return Decision(replicas=wanted, reason=f"{load:.1f} in flight", next_change_s=now_s + 1.0), 0


def _settings(spec: FunctionSpec) -> int:
    return spec.max_scale or 1


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short path with the function in it; the quick policy is known as `quick`."""
    quick = Policy(name="quick", settings_for=_settings, initial_state=lambda most, seen, now_s: 0, decide=_decide)
    monkeypatch.setitem(POLICIES, "quick", quick)
    path = Path(tempfile.mkdtemp(prefix="dilu-"))
    (path / "app.py").write_text(textwrap.dedent(SOURCE))
    yield path
    shutil.rmtree(path)


def _plan(folder: Path, **spec: Any) -> FunctionPlan:
    return FunctionPlan(
        spec=function_spec("work", slo_ms=5000, **spec),
        target="app.py",
        command=(sys.executable, "-m", "dilu", "serve", "app.py"),
        folder=folder,
        policy="quick",
    )


async def _with_platform(folder: Path, test: Callable[[Platform], Awaitable[None]], **spec: Any) -> None:
    root = run_directory({ENV_RUN_DIR: str(folder / "run")})
    held = claim(root, "test")
    with bind("127.0.0.1", 0) as gateway_socket:
        plan = LaunchPlan(name="test", folder=folder, functions=(_plan(folder, **spec),))
        platform = Platform(
            plan, held, gateway_socket, wait_limits=WaitLimits(max_wait_s=30.0), gateway_limits=GatewayLimits()
        )
        serving = asyncio.ensure_future(platform.run())
        try:
            await _until(lambda: bool(running(root)), "the platform is up")
            await test(platform)
        finally:
            platform.stop()
            assert await serving == 0
            held.release()


def _function(platform: Platform) -> dict[str, Any]:
    [function] = msgspec.to_builtins(platform.status("work"))["functions"]
    found: dict[str, Any] = function
    return found


def _changes(platform: Platform) -> list[tuple[int, int]]:
    """The replica counts before and after each decision that changed it."""
    decisions = _function(platform)["decisions"]
    return [(one["before"], one["decided"]) for one in decisions if one["before"] != one["decided"]]


async def _post(platform: Platform, seconds: float) -> int:
    """The process that answered."""

    def post() -> int:
        address = platform.url.removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=30.0)
        try:
            connection.request("POST", "/", json.dumps(seconds))
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, body
            return int(body)
        finally:
            connection.close()

    return await asyncio.to_thread(post)


async def _until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + 15.0
    while not condition():
        assert time.monotonic() < deadline_s, what
        await asyncio.sleep(0.01)


def test_from_zero_and_back_and_again(folder: Path) -> None:
    async def scenario(platform: Platform) -> None:
        assert not _function(platform)["replicas"]
        first = await _post(platform, 0.0)
        await _until(lambda: not _function(platform)["replicas"], "back to zero")
        seconds_then = _function(platform)["replica_seconds"]
        second = await _post(platform, 0.0)
        assert first != second
        function = _function(platform)
        assert _changes(platform) == [(0, 1), (1, 0), (0, 1)]
        assert (function["requests"], function["errors"], function["slo_attainment"]) == (2, 0, 1.0)
        cold_start = function["cold_starts"][0]
        assert set(cold_start) == {"process", "import", "load", "warmup", "total_s"}
        assert cold_start["load"] >= 0.2
        assert cold_start["total_s"] < seconds_then < cold_start["total_s"] + 10.0
        assert function["replica_seconds"] > seconds_then

    run(_with_platform(folder, scenario))


def test_a_second_replica_takes_what_waits_for_the_first(folder: Path) -> None:
    async def scenario(platform: Platform) -> None:
        answers = await asyncio.gather(*(_post(platform, 0.4) for _ in range(12)))
        assert len(set(answers)) > 1
        function = _function(platform)
        assert max(after for _, after in _changes(platform)) > 1
        assert function["errors"] == 0
        await _until(lambda: not _function(platform)["replicas"], "back to zero")
        assert function["decisions"][-1]["last"]["reason"]

    run(_with_platform(folder, scenario, max_scale=3))


def test_a_quiet_function_is_not_looked_at(folder: Path) -> None:
    async def scenario() -> None:
        woken: list[str] = []
        function = LocalFunction(
            _plan(folder), logs=folder, limits=WaitLimits(), log_format="plain", on_wake=woken.append
        )
        now_s = time.monotonic()
        assert function.observe(now_s).next_sample_s is None
        function.served.arrived(now_s)
        function.served.arrived(now_s)
        assert woken == ["work"]  # once is enough: from now on it is looked at each second
        seen = function.observe(now_s)
        assert seen.next_sample_s == math.floor(now_s) + 1
        for _ in range(2):
            function.served.load.finished(whole_us(now_s))
        seen = function.observe(now_s + 1.0)
        assert [one.rps for one in seen.samples] == [2.0]
        assert seen.next_sample_s is None
        function.served.arrived(now_s + 10.0)
        assert woken == ["work"] * 2

    run(scenario())
