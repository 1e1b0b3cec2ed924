"""The parts of one stream between the handler and its client: bounds, patience, and what a cut leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from dilu.errors import RequestError
from dilu.runtime.execution.streams import MAX_UNREAD_PARTS, PATIENCE_S, PartStream


def on_a_loop(scenario: Callable[[PartStream, asyncio.Future[None]], Awaitable[None]]) -> None:
    async def run() -> None:
        await scenario(PartStream(), asyncio.get_running_loop().create_future())

    asyncio.run(run())


def test_a_stream_is_behind_when_more_parts_wait_than_may() -> None:
    async def scenario(stream: PartStream, answer: asyncio.Future[None]) -> None:
        for number in range(MAX_UNREAD_PARTS):
            stream.put(number)
        assert not stream.is_behind
        stream.put(MAX_UNREAD_PARTS)
        assert stream.is_behind

    on_a_loop(scenario)


def test_a_cut_stream_keeps_no_parts_and_takes_none() -> None:
    async def scenario(stream: PartStream, answer: asyncio.Future[None]) -> None:
        stream.put("before")
        stream.cut()
        stream.put("after")
        with pytest.raises(RequestError, match="left more than 64 parts unread for more than 1 s"):
            await anext(aiter(stream.read(answer)))

    on_a_loop(scenario)


def test_the_patience_of_a_second_is_spent_by_pauses() -> None:
    async def scenario(stream: PartStream, answer: asyncio.Future[None]) -> None:
        stream.paused(PATIENCE_S - 0.001)
        assert not stream.is_cut
        stream.paused(0.002)
        assert stream.is_cut

    on_a_loop(scenario)


def test_each_part_that_is_read_earns_patience_up_to_the_whole() -> None:
    async def scenario(stream: PartStream, answer: asyncio.Future[None]) -> None:
        for number in range(60):
            stream.put(number)
        answer.set_result(None)
        stream.paused(0.5)
        assert [part async for part in stream.read(answer)] == list(range(60))
        stream.paused(0.9)
        assert not stream.is_cut, "60 parts have earned the half second again"
        stream.paused(0.2)
        assert stream.is_cut, "and no more than that"

    on_a_loop(scenario)
