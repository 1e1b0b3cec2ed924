"""The queue in front of a function's replicas: order, room, limits and giving up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from dilu.errors import RequestError
from dilu.http.client.upstream import Upstream
from dilu_autoscaler.local import backends as backends_module
from dilu_autoscaler.local.backends import Backend, Backends, WaitLimits
from local.gateway_bench import run


def _backends(**limits: Any) -> Backends:
    return Backends("embed", WaitLimits(**limits), on_wait=lambda: None)


def _backend(name: str, max_in_flight: int) -> Backend:
    return Backend(name, Upstream("127.0.0.1", 1), max_in_flight)


async def _settled(*coroutines: Coroutine[Any, Any, Backend]) -> list[asyncio.Task[Backend]]:
    """The tasks, after each has run as far as it can."""
    tasks = [asyncio.ensure_future(one) for one in coroutines]
    await asyncio.sleep(0)
    return tasks


async def _turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_request_goes_to_the_replica_with_the_fewest_in_flight() -> None:
    async def scenario() -> None:
        backends = _backends()
        for name in ("a", "b", "c"):
            backends.add(_backend(name, 2))
        taken = [await backends.acquire(0) for _ in range(6)]
        assert [one.id for one in taken] == ["a", "b", "c", "a", "b", "c"]
        backends.release(taken[1])
        assert (await backends.acquire(0)).id == "b"

    run(scenario())


def test_no_replica_gets_more_than_it_takes_and_the_rest_waits_in_order() -> None:
    async def scenario() -> None:
        backends = _backends()
        one = _backend("one", 2)
        backends.add(one)
        tasks = await _settled(*[backends.acquire(0) for _ in range(5)])
        assert [task.done() for task in tasks] == [True, True, False, False, False]
        assert (one.in_flight, backends.waiting) == (2, 3)
        backends.release(one)
        await _turn()
        assert [task.done() for task in tasks] == [True, True, True, False, False]
        backends.release(one)
        await _turn()
        assert [task.done() for task in tasks] == [True, True, True, True, False]
        assert one.in_flight == 2
        tasks[4].cancel()
        await _turn()

    run(scenario())


def test_a_stream_gives_its_place_to_the_next_and_still_counts_as_in_flight() -> None:
    async def scenario() -> None:
        backends = _backends()
        one = _backend("one", 1)
        backends.add(one)
        await backends.acquire(0)
        (task,) = await _settled(backends.acquire(0))
        backends.begin_stream(one)
        await _turn()
        assert task.result() is one
        assert (one.in_flight, one.streams, one.has_room) == (2, 1, False)
        backends.end_stream(one)
        backends.release(one)
        assert (one.in_flight, one.streams, one.has_room) == (1, 0, False)

    run(scenario())


def test_among_replicas_with_as_many_requests_the_one_with_fewer_streams_is_taken() -> None:
    async def scenario() -> None:
        backends = _backends()
        for name in ("a", "b"):
            backends.add(_backend(name, 8))
        backends.begin_stream(await backends.acquire(0))
        assert [(await backends.acquire(0)).id for _ in range(3)] == ["b", "a", "b"]

    run(scenario())


def test_a_new_replica_takes_what_waits() -> None:
    async def scenario() -> None:
        backends = _backends()
        tasks = await _settled(*[backends.acquire(0) for _ in range(3)])
        backends.add(_backend("one", 2))
        await _turn()
        assert [task.done() for task in tasks] == [True, True, False]
        backends.add(_backend("two", 2))
        await _turn()
        assert tasks[2].result().id == "two"

    run(scenario())


def test_a_request_that_was_sent_back_comes_first() -> None:
    async def scenario() -> None:
        backends = _backends()
        late, back = await _settled(backends.acquire(0), backends.acquire(0, first=True))
        backends.add(_backend("one", 1))
        await _turn()
        assert (back.done(), late.done()) == (True, False)
        late.cancel()
        await _turn()

    run(scenario())


def test_a_replica_that_was_removed_gets_nothing_more() -> None:
    async def scenario() -> None:
        backends = _backends()
        one = _backend("one", 1)
        backends.add(one)
        await backends.acquire(0)
        (task,) = await _settled(backends.acquire(0))
        backends.remove(one)
        backends.remove(one)  # twice is once
        backends.release(one)
        await _turn()
        assert not task.done()
        assert (backends.ready, backends.waiting) == (0, 1)
        task.cancel()
        await _turn()

    run(scenario())


def test_a_suspended_replica_comes_back_unless_it_was_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends_module, "_SUSPENDED_S", 0.0)  # until the loop's next round

    async def scenario() -> None:
        backends = _backends()
        one, removed = _backend("one", 1), _backend("removed", 1)
        backends.add(one)
        backends.add(removed)
        for backend in (one, removed):
            backends.suspend(backend)
            backends.suspend(backend)
        backends.remove(removed)
        assert backends.ready == 0
        assert await backends.acquire(0) is one
        await _turn()
        assert backends.ready == 1

    run(scenario())


def test_giving_up_frees_the_place_in_the_queue() -> None:
    async def scenario() -> None:
        backends = _backends(max_waiting=2, max_bytes=100)
        first, second = await _settled(backends.acquire(50), backends.acquire(50))
        first.cancel()
        await _turn()
        assert backends.waiting == 1
        (third,) = await _settled(backends.acquire(50))
        one = _backend("one", 5)
        backends.add(one)
        await _turn()
        assert second.done()
        assert third.done()
        assert one.in_flight == 2

    run(scenario())


def test_giving_up_in_the_moment_of_getting_a_replica_releases_it() -> None:
    async def scenario() -> None:
        backends = _backends()
        gives_up, next_one = await _settled(backends.acquire(0), backends.acquire(0))
        one = _backend("one", 1)
        backends.add(one)  # the first has it, but has not run since
        gives_up.cancel()
        await _turn()
        assert gives_up.cancelled()
        assert next_one.result() is one
        assert one.in_flight == 1

    run(scenario())


@pytest.mark.parametrize(("has_replica", "status", "code"), [(False, 503, "starting"), (True, 429, "queue-full")])
def test_a_full_queue_refuses_and_says_when_to_come_again(has_replica: bool, status: int, code: str) -> None:
    async def scenario() -> None:
        backends = _backends(max_waiting=6)
        backends.learned_rps = 2.0
        if has_replica:
            backends.add(_backend("one", 1))
            await backends.acquire(0)
        tasks = await _settled(*[backends.acquire(0) for _ in range(6)])
        with pytest.raises(RequestError) as caught:
            await backends.acquire(0)
        assert (caught.value.status, caught.value.code) == (status, code)
        assert caught.value.retry_after_s == (3 if has_replica else 1)  # six waiting, two a second
        for task in tasks:
            task.cancel()
        await _turn()

    run(scenario())


def test_bodies_that_wait_are_bounded_together() -> None:
    async def scenario() -> None:
        backends = _backends(max_bytes=100)
        (task,) = await _settled(backends.acquire(60))
        with pytest.raises(RequestError, match="are waiting"):
            await backends.acquire(60)
        task.cancel()
        await _turn()
        (task,) = await _settled(backends.acquire(60))
        task.cancel()
        await _turn()

    run(scenario())


def test_waiting_has_an_end() -> None:
    async def scenario() -> None:
        backends = _backends(max_wait_s=0.05)
        with pytest.raises(RequestError) as caught:
            await backends.acquire(0)
        assert (caught.value.status, caught.value.code) == (503, "starting")
        backends.add(_backend("one", 1))
        await backends.acquire(0)
        with pytest.raises(RequestError) as caught:
            await backends.acquire(0)
        assert caught.value.code == "queue-timeout"
        assert backends.waiting == 0

    run(scenario())


def test_a_wait_that_ends_in_the_moment_of_getting_a_replica_releases_it() -> None:
    async def scenario() -> None:
        backends = _backends(max_wait_s=0.05)
        one = _backend("one", 1)
        (late,) = await _settled(backends.acquire(0))
        asyncio.get_running_loop().call_later(0.01, backends.add, one)
        time.sleep(0.1)  # holds the loop until both are due in one round: the replica, then the end of the wait
        with pytest.raises(RequestError):
            await late
        assert one.in_flight == 0

    run(scenario())


def test_a_function_that_cannot_start_tells_all_who_wait_and_come() -> None:
    async def scenario() -> None:
        backends = _backends()
        (task,) = await _settled(backends.acquire(0))
        backends.block(lambda: RequestError(503, "cannot-start", "no weights"))
        await _turn()
        with pytest.raises(RequestError, match="no weights"):
            task.result()
        with pytest.raises(RequestError, match="no weights"):
            await backends.acquire(0)
        backends.unblock()
        (task,) = await _settled(backends.acquire(0))
        backends.add(_backend("one", 1))
        await _turn()
        assert task.done()

    run(scenario())


def test_a_failed_start_blocks_no_request_while_another_replica_is_ready() -> None:
    async def scenario() -> None:
        backends = _backends()
        one = _backend("one", 1)
        backends.add(one)
        await backends.acquire(0)
        (task,) = await _settled(backends.acquire(0))
        backends.block(lambda: RequestError(503, "cannot-start", "no weights"))
        backends.release(one)
        await _turn()
        assert task.result() is one

    run(scenario())
