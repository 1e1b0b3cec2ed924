"""The bounded queue where batches form: order, bounds, and no batch that waits for nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from queue import SimpleQueue

from dilu.batching import BatchRule, ExecutionFit
from dilu.runtime.execution.batch_queue import BatchQueue, Dropped
from dilu.runtime.execution.jobs import Job
from replica_process import wait_until


def patient(max_size: int, gain_s: float = 60.0) -> BatchQueue:
    """A queue that has learned that waiting for `gain_s` pays."""
    queue = BatchQueue(BatchRule(max_size=max_size), capacity=9)
    queue.fit = ExecutionFit(fixed_s=gain_s, per_item_s=0.0)
    return queue


def job(item: int) -> Job:
    loop = asyncio.new_event_loop()
    try:
        return Job(item, f"r-{item}", time.monotonic(), loop.create_future())
    finally:
        loop.close()


def filled(queue: BatchQueue, count: int) -> BatchQueue:
    for item in range(count):
        assert queue.put([job(item)])
    return queue


def items(batch: list[Job]) -> list[int]:
    return [one.item for one in batch]


def taking(queue: BatchQueue, busy_on: int | None = None) -> SimpleQueue[list[Job]]:
    """The batches of a daemon thread that takes them until one begins with `busy_on`."""
    taken: SimpleQueue[list[Job]] = SimpleQueue()

    def take() -> None:
        while batch := queue.take():
            taken.put(batch)
            if batch[0].item == busy_on:
                return

    threading.Thread(target=take, daemon=True).start()
    return taken


def until_idle(queue: BatchQueue, takers: int) -> None:
    wait_until(lambda: queue._idle_takers == takers, f"{takers} threads wait in take")


def test_batches_come_in_order_and_no_larger_than_allowed() -> None:
    queue = filled(BatchQueue(BatchRule(max_size=4), capacity=100), 10)
    assert [items(queue.take()) for _ in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_full_queue_refuses() -> None:
    queue = filled(BatchQueue(BatchRule(max_size=4), capacity=3), 3)
    assert not queue.put([job(3)])
    queue.take()
    assert queue.put([job(4)])


def test_a_closed_queue_refuses_and_gives_out_what_it_has_without_waiting() -> None:
    queue = filled(patient(4), 2)
    queue.close()
    assert not queue.put([job(9)])
    assert items(queue.take()) == [0, 1]
    assert queue.take() == []
    assert queue.is_drained


def test_an_idle_taker_gets_a_lone_request_at_once() -> None:
    queue = BatchQueue(BatchRule(max_size=4), capacity=9)
    taken = taking(queue)
    queue.put([job(7)])
    assert items(taken.get(timeout=20)) == [7]


def test_a_batch_that_fills_up_while_it_waits_closes_at_once() -> None:
    queue = filled(patient(3), 2)
    taken = taking(queue)
    until_idle(queue, 1)
    assert queue.put([job(2)])
    assert items(taken.get(timeout=20)) == [0, 1, 2]


def test_an_open_batch_closes_when_its_time_is_over_and_not_before() -> None:
    queue = patient(3, gain_s=0.5)
    began_s = time.monotonic()
    filled(queue, 2)
    batches = taking(queue)
    assert queue.poll()[0] == [] or time.monotonic() - began_s >= 0.5
    assert items(batches.get(timeout=20)) == [0, 1]
    assert 0.5 <= time.monotonic() - began_s < 20


def test_poll_says_when_to_look_again() -> None:
    queue = filled(patient(3), 2)
    batch, wait_s = queue.poll()
    assert batch == []
    assert wait_s is not None
    assert 59 < wait_s <= 60
    assert BatchQueue(BatchRule(), capacity=1).poll() == ([], None)


def test_a_rate_that_has_fallen_stops_the_waiting() -> None:
    queue = BatchQueue(BatchRule(max_size=30), capacity=99)
    queue.fit = ExecutionFit(fixed_s=0.05, per_item_s=0.0)
    filled(queue, 5)
    assert queue.poll()[0] == [], "five arrivals in no time: more are expected within the gain"
    time.sleep(0.12)
    assert len(queue.poll()[0]) == 5


def test_every_put_wakes_an_async_worker() -> None:
    puts: list[int] = []
    queue = BatchQueue(BatchRule(), capacity=2, on_put=lambda: puts.append(len(queue)))
    filled(queue, 2)
    assert puts == [1, 2]
    queue.close()
    assert len(puts) == 3


def test_many_producers_and_takers_lose_nothing() -> None:
    queue = BatchQueue(BatchRule(max_size=7), capacity=10_000)
    taken: list[int] = []
    lock = threading.Lock()

    def take() -> None:
        while batch := queue.take():
            with lock:
                taken.extend(items(batch))

    def put(first: int) -> None:
        for item in range(first, first + 250):
            assert queue.put([job(item)])

    takers = [threading.Thread(target=take, daemon=True) for _ in range(3)]
    producers = [threading.Thread(target=put, args=(250 * number,), daemon=True) for number in range(4)]
    for thread in takers + producers:
        thread.start()
    for thread in producers:
        thread.join(20)
    queue.close()
    for thread in takers:
        thread.join(20)
    assert sorted(taken) == list(range(1000))


def test_jobs_of_clients_that_left_are_dropped_and_take_no_place() -> None:
    dropped: list[Job] = []

    def drop(one: Job, why: Dropped) -> None:
        assert why is Dropped.ABANDONED
        dropped.append(one)

    queue = BatchQueue(BatchRule(max_size=2), capacity=9, on_drop=drop)
    jobs = [job(item) for item in range(4)]
    for one in jobs:
        queue.put([one])
    jobs[0].is_abandoned = jobs[2].is_abandoned = lambda: True
    assert items(queue.take()) == [1, 3]
    assert items(dropped) == [0, 2]


def test_a_batch_larger_than_the_queue_closes_when_the_queue_is_full() -> None:
    queue = BatchQueue(BatchRule(max_size=100), capacity=3)
    queue.fit = ExecutionFit(fixed_s=60.0, per_item_s=0.0)
    assert items(filled(queue, 3).poll()[0]) == [0, 1, 2]


def test_an_idle_thread_gets_what_comes_while_another_is_busy_with_a_batch_that_waited() -> None:
    queue = patient(8)
    gain, queue.fit = queue.fit, None
    for _ in range(20):  # arrivals that come fast enough for a batch to wait
        queue.put([job(0)])
        queue.take()
    queue.fit = gain
    taken = taking(queue, busy_on=1), taking(queue, busy_on=1)
    until_idle(queue, 2)
    for item in range(1, 9):  # the first waits for companions, the eighth completes the batch
        assert queue.put([job(item)])
    (first,) = [items(batch) for batch in received(taken)]
    assert first == [1, 2, 3, 4, 5, 6, 7, 8]
    queue.fit = None  # nothing is known: a lone job runs at once
    until_idle(queue, 1)
    assert queue.put([job(9)])
    (second,) = [items(batch) for batch in received(taken)]
    assert second == [9]


def test_what_one_batch_leaves_goes_to_another_idle_thread() -> None:
    queue = BatchQueue(BatchRule(max_size=2), capacity=9)
    taken = taking(queue, busy_on=0), taking(queue, busy_on=2)
    until_idle(queue, 2)
    assert queue.put([job(item) for item in range(4)])
    batches = [*received(taken), *received(taken)]
    assert [items(batch) for batch in batches] == [[0, 1], [2, 3]]


def received(sources: tuple[SimpleQueue[list[Job]], ...]) -> list[list[Job]]:
    """The next batch of either thread."""
    wait_until(lambda: any(not source.empty() for source in sources), "a batch is taken", 20)
    return [next(source for source in sources if not source.empty()).get()]


def test_an_item_of_several_is_not_displaced_and_nothing_else_is_dropped_for_it() -> None:
    dropped: list[Job] = []
    queue = BatchQueue(BatchRule(max_size=4), capacity=3, on_drop=lambda one, why: dropped.append(one))
    several = [replace(job(item), urgency=7, is_whole_request=False) for item in range(2)]
    assert queue.put(several)
    assert queue.put([replace(job(2), urgency=6)])
    assert queue.put([replace(job(3), urgency=0)]), "the whole request makes room"
    assert items(dropped) == [2]
    assert not queue.put([replace(job(4), urgency=0)]), "the items of several do not"
    assert items(dropped) == [2]
    assert items(queue.take()) == [3, 0, 1]


def test_a_batch_runs_until_it_is_finished() -> None:
    queue = filled(BatchQueue(BatchRule(max_size=2), capacity=9), 3)
    first, second = queue.take(), queue.take()
    assert [batch.size for batch in queue.running()] == [2, 1]
    queue.finished(first)
    assert [batch.size for batch in queue.running()] == [1]
    queue.finished(second)
    assert queue.running() == []
