"""The loops that the autoscaler may run on."""

from __future__ import annotations

import pytest

from loops import LOOPS, Main, Run
from loops import run as run_on


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a test's coroutine on each of them."""

    def start(main: Main) -> None:
        run_on(main, loop=request.param)

    return start
