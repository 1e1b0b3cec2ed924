"""A stream whose time is over says so, as any other answer does."""

from __future__ import annotations

import pytest

from replica_process import ServeFunction

HANDLERS = {
    "sync": """
        import time, dilu
        from collections.abc import Iterator
        @dilu.function
        def slow(x: int) -> Iterator[int]:
            for number in range(x):
                time.sleep(0.05)
                yield number
    """,
    "async": """
        import asyncio, dilu
        from collections.abc import AsyncIterator
        @dilu.function
        async def slow(x: int) -> AsyncIterator[int]:
            for number in range(x):
                await asyncio.sleep(0.05)
                yield number
    """,
}


@pytest.mark.parametrize("source", HANDLERS.values(), ids=HANDLERS)
def test_the_time_is_over_before_the_first_part(shared_function: ServeFunction, source: str) -> None:
    replica = shared_function(source)
    answer = replica.post(100, headers={"X-Request-Timeout-Ms": "20"})
    assert (answer.status, answer.json()["error"]["code"]) == (504, "deadline-exceeded")


@pytest.mark.parametrize("source", HANDLERS.values(), ids=HANDLERS)
@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_the_time_is_over_between_parts(shared_function: ServeFunction, source: str, accept: str) -> None:
    replica = shared_function(source)
    answer = replica.post(100, headers={"X-Request-Timeout-Ms": "180", "Accept": accept})
    assert b'"deadline-exceeded"' in answer.body
    assert answer.status == (200 if accept == "text/event-stream" else 504)
