"""Two or three that want one lease: never two at once, whatever happens, and soon another where the holder dies."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_kube.errors import NotFound
from dilu_kube.lease_rules import LeaseDurations
from dilu_kube.resources import LEASES
from knative.leases.electors import Elector
from knative.leases.lease_store import BUCKET, LeaseStore, Line
from knative.leases.stock_elector import StockElector
from loops import now_s, run_virtually

D = LeaseDurations()
Spans = Sequence[tuple[float, float]]  # from, for how long


class Holder(Protocol):
    @property
    def identity(self) -> str: ...
    def holds(self) -> bool: ...
    async def die(self) -> None: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Life:
    """What happens to one process, in the loop's time."""

    starts_s: float
    freezes: Spans
    outages: Spans  # requests are refused at once
    slow_s: float  # the longest way to the server, or back
    loss_ratio: float  # of requests, and of answers
    wall_jumps_s: Spans
    clock_offset_s: float
    clock_rate: float
    ends_s: float | None  # closed then; None: lives on
    seed: int


spans = st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 45)), max_size=3)
lives = st.builds(
    Life,
    starts_s=st.floats(0, 20) | st.just(0.0),
    freezes=spans,
    outages=spans,
    slow_s=st.sampled_from([0.0, 0.01, 0.5, 3.0, 20.0]),
    loss_ratio=st.sampled_from([0.0, 0.0, 0.1, 0.5]),
    wall_jumps_s=st.lists(st.tuples(st.floats(0, 100), st.floats(-1e6, 1e6)), max_size=3),
    clock_offset_s=st.floats(0, 1e6),
    clock_rate=st.floats(0.9, 1.1),
    ends_s=st.none() | st.floats(20, 100),
    seed=st.integers(0, 2**32),
)


def within(spans: Spans, time_s: float) -> bool:
    return any(start_s <= time_s < start_s + length_s for start_s, length_s in spans)


def started(store: LeaseStore, name: str, life: Life) -> Elector:
    """A process with its own clocks and its own way to the server."""
    chance = random.Random(life.seed)

    def delay_s() -> float | None:
        return None if chance.random() < life.loss_ratio else chance.random() * life.slow_s

    def frozen_until() -> float:
        ends_s = [start_s + length_s for start_s, length_s in life.freezes if start_s <= now_s()]
        return max(ends_s, default=0.0)

    def wall_s() -> float:
        return 2e9 + now_s() + sum(jump_s for at_s, jump_s in life.wall_jumps_s if at_s <= now_s())

    return Elector(
        store,
        name,
        line=Line(there_s=delay_s, back_s=delay_s, frozen_until=frozen_until),
        clock_s=lambda: life.clock_offset_s + life.clock_rate * now_s(),
        wall_s=wall_s,
        seed=life.seed,
    )


def steady(latency_s: float) -> Line:
    return Line(there_s=lambda: latency_s, back_s=lambda: latency_s)


class Referee:
    """Sees who holds the lease at each moment, and at each write."""

    def __init__(self, store: LeaseStore) -> None:
        self.holders: dict[str, Holder] = {}
        self.held_s: set[str] = set()
        self.faults: list[str] = []
        store.on_write = self._written

    def _written(self, by: str) -> None:
        others = [name for name, holder in self.holders.items() if name != by and holder.holds()]
        if others:
            self.faults.append(f"{now_s():.3f} s: {by} writes the lease that {others} hold")

    def look(self) -> None:
        now = [name for name, holder in self.holders.items() if holder.holds()]
        self.held_s.update(now)
        if len(now) > 1:
            self.faults.append(f"{now_s():.3f} s: {now} hold the lease at once")


async def live(store: LeaseStore, referee: Referee, name: str, life: Life) -> None:
    await asyncio.sleep(life.starts_s)
    elector = referee.holders[name] = started(store, name, life)
    for second in range(int(life.starts_s), 120):
        elector.line.is_down = within(life.outages, second)
        if life.ends_s is not None and now_s() >= life.ends_s:
            break
        await asyncio.sleep(1.0)
    await elector.close()
    del referee.holders[name]


async def compete(referee: Referee, all_live: Sequence[Coroutine[None, None, None]]) -> None:
    """Returns when all of them have lived, under the referee's eyes."""
    async with asyncio.TaskGroup() as group:
        living = [group.create_task(one) for one in all_live]
        while not all(task.done() for task in living):
            referee.look()
            await asyncio.sleep(0.1)


@given(st.lists(lives, min_size=2, max_size=3))
def test_never_two_hold_the_lease_at_one_moment(all_lives: list[Life]) -> None:
    async def main() -> None:
        store = LeaseStore()
        referee = Referee(store)
        await compete(referee, [live(store, referee, name, life) for name, life in zip("abc", all_lives, strict=False)])
        assert referee.faults == []

    run_virtually(main)


@given(st.lists(lives, min_size=2, max_size=2), st.lists(st.floats(20, 100), min_size=1, max_size=3))
def test_a_deleted_lease_makes_no_two_holders_once_both_have_seen_it(
    all_lives: list[Life], deletions_s: list[float]
) -> None:
    async def deleted(store: LeaseStore) -> None:
        for at_s in sorted(deletions_s):
            await asyncio.sleep(max(0.0, at_s - now_s()))
            try:
                store.delete(LEASES, BUCKET)
            except NotFound:
                continue

    async def main() -> None:
        store = LeaseStore()
        referee = Referee(store)
        lived = [live(store, referee, name, calm(life)) for name, life in zip("ab", all_lives, strict=True)]
        await compete(referee, [*lived, deleted(store)])
        assert referee.faults == []
        assert referee.held_s

    def calm(life: Life) -> Life:
        """A new process that has seen nothing, or one that is cut off when it happens, cannot know of it."""
        return Life(
            starts_s=0.0,
            freezes=(),
            outages=(),
            slow_s=min(life.slow_s, 0.5),
            loss_ratio=0.0,
            wall_jumps_s=life.wall_jumps_s,
            clock_offset_s=life.clock_offset_s,
            clock_rate=life.clock_rate,
            ends_s=None,
            seed=life.seed,
        )

    run_virtually(main)


@given(
    ours=st.lists(lives, min_size=1, max_size=2),
    stock_starts_s=st.floats(0, 40),
    stock_outages=spans,
    stock_slow_s=st.sampled_from([0.0, 0.5, 4.0]),
    durations=st.sampled_from([(60, 40.0, 10.0), (15, 10.0, 2.0)]),
    seed=st.integers(0, 1000),
)
def test_stock_and_ours_never_hold_it_at_one_moment(
    ours: list[Life],
    stock_starts_s: float,
    stock_outages: Spans,
    stock_slow_s: float,
    durations: tuple[int, float, float],
    seed: int,
) -> None:
    lease_s, renew_s, retry_s = durations
    chance = random.Random(seed)

    async def stock(store: LeaseStore, referee: Referee) -> None:
        await asyncio.sleep(stock_starts_s)
        elector = StockElector(store, "stock", lease_s=lease_s, renew_s=renew_s, retry_s=retry_s, seed=seed)
        # Its lease is that much longer than its deadline; what it waits for must not take longer.
        elector.line.there_s = lambda: chance.random() * stock_slow_s * (retry_s / 10)
        referee.holders["stock"] = elector
        for second in range(int(stock_starts_s), 120):
            elector.line.is_down = within(stock_outages, second)
            await asyncio.sleep(1.0)
        del referee.holders["stock"]
        await elector.close()

    async def main() -> None:
        store = LeaseStore()
        referee = Referee(store)
        lived = [live(store, referee, name, life) for name, life in zip("ab", ours, strict=False)]
        await compete(referee, [*lived, stock(store, referee)])
        assert referee.faults == []

    run_virtually(main)


@given(
    count=st.integers(2, 3),
    dies_s=st.floats(5, 60),
    latencies_s=st.lists(st.floats(0, 0.1), min_size=3, max_size=3),
    seed=st.integers(0, 2**32),
)
def test_the_lease_is_held_again_soon_after_the_holder_has_died(
    count: int, dies_s: float, latencies_s: list[float], seed: int
) -> None:
    async def main() -> None:
        store = LeaseStore()
        electors = {
            name: Elector(store, name, line=steady(latency_s), seed=seed + at)
            for at, (name, latency_s) in enumerate(zip("abc"[:count], latencies_s, strict=False))
        }
        await asyncio.sleep(dies_s)
        (dead,) = [name for name, elector in electors.items() if elector.holds()]
        await electors.pop(dead).die()
        await asyncio.sleep(dies_s + D.lease_s + 2 * D.retry_s - now_s())
        assert sum(elector.holds() for elector in electors.values()) == 1
        for elector in electors.values():
            await elector.close()

    run_virtually(main)


@given(closes_s=st.floats(3, 60), seed=st.integers(0, 2**32))
def test_a_released_lease_is_taken_within_two_attempts(closes_s: float, seed: int) -> None:
    async def main() -> None:
        store = LeaseStore()
        first = Elector(store, "a", seed=seed)
        await asyncio.sleep(1.0)
        second = Elector(store, "b", seed=seed + 1)
        await asyncio.sleep(closes_s)
        assert (first.holds(), second.holds()) == (True, False)
        await first.close()
        await asyncio.sleep(2 * D.retry_s)
        assert second.holds()
        await second.close()

    run_virtually(main)


@pytest.mark.parametrize("kind", ["ours after stock", "stock after ours"])
def test_the_other_kind_takes_over_from_a_dead_holder(kind: str) -> None:
    async def main() -> None:
        store = LeaseStore()
        if kind == "ours after stock":
            first: Holder = StockElector(store, "stock")
            await asyncio.sleep(1.0)
            second: Holder = Elector(store, "a")
            within_s = 60 + 2 * D.retry_s
        else:
            first = Elector(store, "a")
            await asyncio.sleep(1.0)
            second = StockElector(store, "stock")
            within_s = D.lease_s + 2 * 22.0
        await asyncio.sleep(100.0)
        assert (first.holds(), second.holds()) == (True, False)
        await first.die()
        await asyncio.sleep(within_s)
        assert second.holds()
        await second.close()

    run_virtually(main)


def test_of_many_that_race_for_a_new_lease_one_has_it() -> None:
    async def main() -> None:
        store = LeaseStore()
        electors = [
            Elector(store, name, line=Line(there_s=lambda: 0.01), seed=at) for at, name in enumerate("abcdefgh")
        ]
        await asyncio.sleep(1.0)
        assert sum(elector.holds() for elector in electors) == 1
        (holder,) = [elector for elector in electors if elector.holds()]
        assert store.lease()["holderIdentity"] == holder.identity
        assert all(elector.leases.holder(BUCKET) == holder.identity for elector in electors)
        for elector in electors:
            await elector.close()

    run_virtually(main)
