"""Which requests a function admits: predictions from its own queue, and what it learns from them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

import dilu
import dilu.testing
from dilu.batching import BatchRule, ExecutionFit
from dilu.errors import RequestError
from dilu.handlers import definition_of
from dilu.runtime.execution.admission import Admission
from dilu.runtime.execution.batch_queue import BatchQueue
from dilu.runtime.execution.jobs import Job

RULE = BatchRule(max_size=4, slo_s=0.1)
FIT = ExecutionFit(fixed_s=0.010, per_item_s=0.005)  # a batch of one takes 15 ms, a full one 30 ms


@dilu.function(slo_ms=100, batch=4)
def echo(xs: list[int]) -> list[int]:
    return xs


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def admission(queue: BatchQueue) -> Admission:
    definition = definition_of(echo)
    assert definition is not None
    return Admission(definition, RULE, queue)


def known_queue() -> BatchQueue:
    queue = BatchQueue(RULE, capacity=64)
    queue.fit = FIT
    return queue


def answered_after_s(desk: Admission, *, items: int = 1, deadline_s: float | None = None) -> float:
    at_s = desk.answered_at_s(100.0, arrived_s=100.0, urgency=3, deadline_s=deadline_s, items=items)
    assert at_s is not None
    return at_s - 100.0


@pytest.mark.parametrize(("items", "want_s"), [(1, 0.015), (4, 0.030), (5, 0.045), (9, 0.075)])
def test_a_request_is_answered_with_its_last_item(items: int, want_s: float) -> None:
    assert answered_after_s(admission(known_queue()), items=items) == pytest.approx(want_s)


def test_an_idle_function_admits_also_what_would_be_late() -> None:
    assert answered_after_s(admission(known_queue()), items=40) > 0.1


def test_behind_others_a_request_that_would_be_late_is_refused(loop: asyncio.AbstractEventLoop) -> None:
    queue = known_queue()
    waiting = [Job(item, "r", 0.0, loop.create_future()) for item in range(8)]
    assert queue.put(waiting)
    assert answered_after_s(admission(queue)) == pytest.approx(0.075, abs=0.001), "two full batches, and one of one"
    with pytest.raises(RequestError, match="the answer would take 90 ms, 80 ms are left") as caught:
        answered_after_s(admission(queue), items=4, deadline_s=100.080)
    assert (caught.value.status, caught.value.refused) == (429, "deadline")


def test_what_the_margin_learns_is_how_late_the_earliest_promise_of_a_batch_was(
    loop: asyncio.AbstractEventLoop,
) -> None:
    desk = admission(known_queue())
    now_s = time.monotonic()
    late, early = (Job(0, "r", now_s, loop.create_future(), promised_s=now_s + by_s) for by_s in (-5.0, 500.0))
    desk.learn([early, late])
    assert desk.margin.margin_s > 0.0
    learned_s = desk.margin.margin_s
    desk.learn([early, early])
    assert desk.margin.margin_s < learned_s


def test_a_function_that_is_called_now_and_then_answers_every_call() -> None:
    """A batch that was answered and still counted as running would look overdue, and all later calls be refused."""

    @dilu.function(slo_ms=60)
    def slow(x: int) -> int:
        return x

    with dilu.testing.client(slow) as client:
        statuses = []
        for _ in range(4):
            statuses.append(client.post(1).status)
            time.sleep(0.15)  # longer than the objective
    assert statuses == [200] * 4
