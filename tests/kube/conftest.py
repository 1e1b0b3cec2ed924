"""The loops that a client may run on, and the API server that it talks to."""

from __future__ import annotations

from pathlib import Path

import pytest

from kube.fake_api_server import ApiServer, Main, Run
from loops import LOOPS
from loops import run as run_on


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Run a test's coroutine with an API server of its own, on each of the loops."""

    def start(main: Main) -> None:
        async def served() -> None:
            async with ApiServer(tmp_path / "kubeconfig") as server:
                server.echoes = True
                await main(server)

        run_on(served, loop=request.param)

    return start
