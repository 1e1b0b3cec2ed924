"""The loops that the autoscaler may run on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from knative.queue_proxies import Run


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a test's coroutine on each of them, for at most twenty seconds."""

    def start(main: Callable[[], Awaitable[None]]) -> None:
        async def limited() -> None:
            async with asyncio.timeout(20):
                await main()

        if request.param == "uvloop":
            uvloop.run(limited())
        else:
            asyncio.run(limited())

    return start
