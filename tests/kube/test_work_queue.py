"""Keys are handled in order, one at a time each, later when asked, and again after a failure."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_kube.errors import Conflict, Refused
from dilu_kube.work_queue import WorkQueue
from loops import run_virtually


class Handled:
    """What was handled, and when; each takes `takes_s`, and `fails` says how often a key fails first."""

    def __init__(self, *, takes_s: float = 0.0, fails: dict[str, int] | None = None) -> None:
        self.log: list[tuple[float, str]] = []
        self.at_a_time = 0
        self.max_at_a_time = 0
        self._takes_s = takes_s
        self._fails = dict(fails or {})

    async def __call__(self, key: str) -> None:
        self.log.append((round(asyncio.get_running_loop().time(), 6), key))
        self.at_a_time += 1
        self.max_at_a_time = max(self.max_at_a_time, self.at_a_time)
        try:
            await asyncio.sleep(self._takes_s)
            if self._fails.get(key, 0) > 0:
                self._fails[key] -= 1
                raise Refused(f"{key} does not work", status=500)
        finally:
            self.at_a_time -= 1

    @property
    def keys(self) -> list[str]:
        return [key for _, key in self.log]


def test_keys_are_handled_in_the_order_in_which_they_came() -> None:
    handled = Handled(takes_s=1)

    async def main() -> None:
        queue = WorkQueue(handled, workers=1)
        for key in "abcab":
            queue.add(key)
        assert len(queue) == 3
        queue.start()
        await asyncio.sleep(10)
        await queue.close()

    run_virtually(main)
    assert handled.log == [(0, "a"), (1, "b"), (2, "c")]


def test_a_key_that_is_added_while_it_is_handled_is_handled_once_more() -> None:
    handled = Handled(takes_s=1)

    async def main() -> None:
        queue = WorkQueue(handled)
        queue.start()
        queue.add("a")
        await asyncio.sleep(0.5)
        for _ in range(3):
            queue.add("a")
        assert len(queue) == 1
        await asyncio.sleep(10)
        await queue.close()

    run_virtually(main)
    assert handled.log == [(0, "a"), (1, "a")]


def test_no_more_than_its_workers_run() -> None:
    handled = Handled(takes_s=1)

    async def main() -> None:
        queue = WorkQueue(handled, workers=3)
        queue.start()
        for number in range(10):
            queue.add(str(number))
        await asyncio.sleep(10)
        await queue.close()

    run_virtually(main)
    assert handled.max_at_a_time == 3
    assert handled.keys == [str(number) for number in range(10)]


def test_of_several_later_times_the_first_counts_and_adding_now_does_not_undo_it() -> None:
    handled = Handled()

    async def main() -> None:
        queue = WorkQueue(handled)
        queue.add_after("a", 5)
        queue.start()
        queue.add_after("a", 3)
        queue.add_after("a", 9)
        queue.add_after("b", 4)
        queue.add_after("now", 0)
        queue.add("a")
        assert queue.delayed == 2
        await asyncio.sleep(20)
        assert queue.delayed == 0
        await queue.close()

    run_virtually(main)
    assert handled.log == [(0, "now"), (0, "a"), (3, "a"), (4, "b")]


def test_a_key_that_fails_waits_twice_as_long_each_time_and_success_forgets() -> None:
    handled = Handled(fails={"a": 3})

    async def main() -> None:
        queue = WorkQueue(handled)
        queue.start()
        queue.add("a")
        await asyncio.sleep(1)
        handled._fails["a"] = 1
        queue.add("a")
        await asyncio.sleep(1)
        await queue.close()

    run_virtually(main)
    assert handled.log == [(0, "a"), (0.005, "a"), (0.015, "a"), (0.035, "a"), (1, "a"), (1.005, "a")]


def test_no_key_waits_longer_than_a_minute() -> None:
    handled = Handled(fails={"a": 100})

    async def main() -> None:
        queue = WorkQueue(handled)
        queue.start()
        queue.add("a")
        await asyncio.sleep(1000)
        await queue.close()

    run_virtually(main)
    pauses = [after[0] - before[0] for before, after in zip(handled.log, handled.log[1:], strict=False)]
    assert max(pauses) == pytest.approx(60)
    assert len(pauses) > 20


def test_the_servers_own_pause_is_kept() -> None:
    times: list[float] = []

    async def handle(key: str) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            raise Refused("patch /x: 429 slow down", status=429, retry_after_s=7)

    async def main() -> None:
        queue = WorkQueue(handle)
        queue.start()
        queue.add("a")
        await asyncio.sleep(20)
        await queue.close()

    run_virtually(main)
    assert times == [0, 7]


def test_a_failure_of_one_key_holds_up_no_other() -> None:
    handled = Handled(fails={"bad": 1000})

    async def main() -> None:
        queue = WorkQueue(handled, workers=1)
        queue.start()
        queue.add("bad")
        queue.add("good")
        await asyncio.sleep(0.001)
        await queue.close()

    run_virtually(main)
    assert handled.keys == ["bad", "good"]


def test_an_outage_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    handled = Handled(fails={"a": 16})

    async def main() -> None:
        queue = WorkQueue(handled)
        queue.start()
        queue.add("a")
        await asyncio.sleep(3600)
        await queue.close()

    with caplog.at_level(logging.WARNING):
        run_virtually(main)
    assert len(handled.log) == 17
    assert len(caplog.records) == 5  # the 1st, 2nd, 4th, 8th and 16th


def test_a_bug_is_logged_with_its_place_and_a_conflict_is_not(caplog: pytest.LogCaptureFixture) -> None:
    seen: set[str] = set()

    async def handle(key: str) -> None:
        if key not in seen:
            seen.add(key)
            raise ZeroDivisionError if key == "bug" else Conflict("replace /x: 409 has changed", status=409)

    async def main() -> None:
        queue = WorkQueue(handle)
        queue.start()
        queue.add("bug")
        queue.add("conflict")
        await asyncio.sleep(1)
        await queue.close()

    with caplog.at_level(logging.INFO):
        run_virtually(main)
    [record] = caplog.records
    assert "bug failed" in record.message
    assert record.exc_info is not None


def test_close_waits_for_what_is_being_handled_but_not_forever() -> None:
    ended: list[str] = []

    async def handle(key: str) -> None:
        try:
            await asyncio.sleep(float(key))
            ended.append(f"{key} done")
        except asyncio.CancelledError:
            ended.append(f"{key} cut off")
            raise

    async def main() -> None:
        queue = WorkQueue(handle, workers=2)
        queue.start()
        for key in ("1", "100", "2"):
            queue.add(key)
        queue.add_after("3", 0.5)
        await asyncio.sleep(0.1)
        await queue.close(grace_s=5)
        assert asyncio.get_running_loop().time() == pytest.approx(5.1)

    run_virtually(main)
    assert ended == ["1 done", "100 cut off"]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 30), st.integers(0, 5)), max_size=30))
def test_every_added_key_is_handled_after_it_was_added_and_never_twice_at_a_time(
    plan: list[tuple[str, int, int]],
) -> None:
    begun: dict[str, list[float]] = {}
    running: set[str] = set()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def handle(key: str) -> None:
            assert key not in running
            running.add(key)
            begun.setdefault(key, []).append(loop.time())
            await asyncio.sleep(2)
            running.discard(key)

        queue = WorkQueue(handle, workers=2)
        queue.start()
        for key, at_s, later_s in plan:
            loop.call_at(at_s, queue.add_after, key, later_s)
        await asyncio.sleep(1000)
        assert not len(queue)
        assert not queue.delayed
        await queue.close()

    run_virtually(main)
    for key, at_s, _ in plan:
        assert begun[key][-1] >= at_s
    for key, times in begun.items():
        assert times[0] >= min(at_s + later_s for name, at_s, later_s in plan if name == key)
    assert sum(map(len, begun.values())) <= len(plan)
