"""Real replicas under a supervisor: starts that fail or never end, stops that do not come, and what waits meanwhile."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dilu.errors import RequestError
from dilu.spec import function_spec
from dilu_autoscaler.load_sampler import whole_us
from dilu_autoscaler.local.backends import WaitLimits
from dilu_autoscaler.local.functions import LocalFunction
from dilu_autoscaler.local.launch_spec import FunctionPlan
from dilu_autoscaler.policy.horizontal import Decision
from local.gateway_bench import run

SOURCE = """
    import pathlib, time
    import dilu

    @dilu.function
    class Work:
        def load(self):
            if pathlib.Path("hang").exists():
                time.sleep(60)
            if pathlib.Path("broken").exists():
                raise ValueError("it is broken")
        def predict(self, seconds: float):
            time.sleep(seconds)
            return seconds
"""
Test = Callable[[LocalFunction], Awaitable[None]]


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="dilu-"))
    (path / "app.py").write_text(textwrap.dedent(SOURCE))
    yield path
    shutil.rmtree(path)


def _with_function(folder: Path, test: Test, **plan: Any) -> None:
    async def scenario() -> None:
        planned = FunctionPlan(
            spec=function_spec("work"),
            target="app.py",
            command=(sys.executable, "-m", "dilu", "serve", "app.py"),
            folder=folder,
            **plan,
        )
        limits = WaitLimits(max_wait_s=0.2)
        function = LocalFunction(planned, logs=folder, limits=limits, log_format="plain", on_wake=lambda name: None)
        try:
            await test(function)
        finally:
            await function.supervisor.close(0.0)

    run(scenario())


async def _until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + 15.0
    while not condition():
        assert time.monotonic() < deadline_s, what
        await asyncio.sleep(0.01)


async def _refusal(function: LocalFunction) -> str:
    """Why a request gets no replica."""
    with pytest.raises(RequestError) as refused:
        await function.backends.acquire(0)
    return refused.value.code


async def _until_it_cannot_start(function: LocalFunction, replicas: int = 1) -> None:
    function.apply(Decision(replicas=replicas, reason="test"))
    await _until(lambda: function.supervisor.is_failing and not function.supervisor.starting, "it has failed")
    await asyncio.sleep(0)  # what waits is told after the replica's last words


def test_a_start_that_takes_too_long_is_a_failed_start(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "hang").touch()

    async def scenario(function: LocalFunction) -> None:
        await _until_it_cannot_start(function)
        await _until(lambda: "did not start: not ready within 1.5 s; next start in 1 s" in caplog.text, "it is said")

    with caplog.at_level(logging.INFO):
        _with_function(folder, scenario, start_limit_s=1.5)


def test_a_repaired_function_at_zero_is_tried_by_the_next_request(folder: Path) -> None:
    (folder / "broken").touch()

    async def scenario(function: LocalFunction) -> None:
        await _until_it_cannot_start(function)
        assert await _refusal(function) == "cannot-start"
        function.apply(Decision(replicas=0, reason="test"))
        assert await _refusal(function) == "starting"  # it has waited, and would have been a reason to start
        (folder / "broken").unlink()
        function.apply(Decision(replicas=1, reason="test"))
        await _until(lambda: function.supervisor.ready == 1, "the repaired one is ready")

    _with_function(folder, scenario)


def test_what_is_refused_because_nothing_can_start_is_no_demand_for_more(folder: Path) -> None:
    (folder / "broken").touch()

    async def scenario(function: LocalFunction) -> None:
        await _until_it_cannot_start(function)
        second_s = float(int(time.monotonic()) + 1)
        function.observe(second_s)
        function.served.arrived(second_s + 0.1)
        function.served.load.finished(whole_us(second_s + 0.2))
        seen = function.observe(second_s + 2.5)
        assert (seen.ready, seen.desired) == (0, 1)
        assert [sample.rps for sample in seen.samples] == [0.0]  # the quiet second is known, the other one is not

    _with_function(folder, scenario)


def test_replicas_that_fail_together_wait_once_and_show_one_log(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "broken").touch()

    async def scenario(function: LocalFunction) -> None:
        await _until_it_cannot_start(function, 3)
        await _until(lambda: caplog.text.count("did not start") == 3, "all have failed")
        (folder / "broken").unlink()
        await _until(lambda: function.supervisor.ready == 3, "all are ready")

    _with_function(folder, scenario)
    assert caplog.text.count("| ValueError: it is broken") == 1
    assert "next start in 2 s" not in caplog.text


def test_a_stop_whose_grace_is_over_cuts_what_still_runs(folder: Path) -> None:
    async def scenario(function: LocalFunction) -> None:
        supervisor = function.supervisor
        function.apply(Decision(replicas=1, reason="test"))
        await _until(lambda: supervisor.ready == 1, "it is ready")
        backend = await function.backends.acquire(0)
        head = b"POST / HTTP/1.1\r\nhost: work\r\ncontent-length: 2\r\n\r\n"
        sending = asyncio.ensure_future(backend.upstream.send(head, b"60", answer_within_s=60.0))
        function.apply(Decision(replicas=0, reason="test"))  # with minutes to finish
        await _until(lambda: [one["state"] for one in supervisor.status()] == ["draining"], "it drains")
        assert not (await asyncio.wait({sending}, timeout=1.0))[0]
        began_s = time.monotonic()
        await supervisor.close(0.5)
        assert time.monotonic() - began_s < 8.0
        assert isinstance((await asyncio.gather(sending, return_exceptions=True))[0], Exception)

    _with_function(folder, scenario)
