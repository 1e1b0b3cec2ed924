"""Calls of async handlers whose clients have disconnected: each one ends, whether it had begun or not."""

from __future__ import annotations

import asyncio
import time

import uvloop

import dilu
from dilu.errors import RequestError
from dilu.handlers import definition_of
from dilu.runtime.execution.jobs import Job
from dilu.runtime.execution.service import FunctionService
from dilu.runtime.reporting.metrics import FunctionMetrics

_FORGOTTEN_POLL_S = 0.1  # as in the workers


def test_a_call_that_is_forgotten_before_its_first_step_is_answered() -> None:
    @dilu.function(concurrency=2)
    async def wait(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    checks = 0

    def disconnects() -> bool:
        """False at first, which takes until the check for forgotten calls is due; from then on True."""
        nonlocal checks
        checks += 1
        if checks == 1:
            time.sleep(2 * _FORGOTTEN_POLL_S)
        return checks > 1

    async def scenario() -> None:
        definition = definition_of(wait)
        assert definition is not None
        service = FunctionService(definition, FunctionMetrics("wait", slo_s=None))
        await service.load()
        other = Job(3 * _FORGOTTEN_POLL_S, "other", time.monotonic(), service.new_answer())
        service.admit([other])
        await asyncio.sleep(0)
        forgotten = Job(60.0, "forgotten", time.monotonic(), service.new_answer(), disconnects)
        service.admit([forgotten])
        assert await other.answer == other.item
        (outcome,) = await asyncio.wait_for(asyncio.gather(forgotten.answer, return_exceptions=True), 5.0)
        assert isinstance(outcome, RequestError)
        assert await service.close(5.0)
        assert not service.queue.running()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
