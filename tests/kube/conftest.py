"""Loops for the tests, and the API server that they talk to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvloop

from kube.api_server import ApiServer, Main, Run
from kube.virtual_time import VirtualTimeLoop, VirtualTimeMain, VirtualTimeRun


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a test's coroutine with an API server of its own, on each of the loops, for at most twenty seconds."""

    def start(main: Main) -> None:
        async def limited() -> None:
            async with asyncio.timeout(20), ApiServer(tmp_path / "kubeconfig") as server:
                await main(server)

        if request.param == "uvloop":
            uvloop.run(limited())
        else:
            asyncio.run(limited())

    return start


@pytest.fixture
def run_at_once() -> VirtualTimeRun:
    """Runs a test's coroutine on a clock that jumps to the next timer when all waits."""

    def start(main: VirtualTimeMain) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(main())

    return start
