"""The asyncio owner of a loop: when it runs it, what it passes on, and what it notices of the clock."""

from __future__ import annotations

import asyncio

import pytest

from dilu_autoscaler.driver import CLOCK_STEP_S, OVERRUN_S, LoopDriver
from dilu_autoscaler.loop import ScaleLoop, Tick
from dilu_autoscaler.policy.horizontal import Decision, Observation
from loop.scripted_world import Now, World, made, spec_of


def each_second(seen: Observation, now_s: float) -> Decision:
    return Decision(replicas=None, reason="", next_change_s=now_s + 1.0)


class Driven:
    """A driver around a loop over functions that tick once a second."""

    def __init__(self, world: World, *names: str) -> None:
        self.ticks: list[Tick] = []
        self.went_back: list[bool] = []
        self.world = world
        self.loop: ScaleLoop = made(world, *(spec_of(name, each_second) for name in names))
        self.driver = LoopDriver(self.loop, Now(world), on_tick=self.ticked, on_clock_set=self.went_back.append)

    def ticked(self, tick: Tick) -> None:
        self.ticks.append(tick)
        if tick.function == "broken":
            raise RuntimeError("cannot be shown")

    def after(self, seconds: float) -> None:
        self.world.now_s += seconds
        self.driver.run_due()


def test_every_tick_is_passed_on_and_one_that_cannot_be_stops_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    driven = Driven(world, "broken", "healthy")
    driven.driver.run_due()
    assert [tick.function for tick in driven.ticks] == ["broken", "healthy"]
    assert caplog.messages == ["fn=broken its tick could not be passed on"]


def test_a_run_that_comes_late_is_counted_once(world: World) -> None:
    driven = Driven(world, "f")
    driven.driver.run_due()
    driven.after(1.0 + OVERRUN_S)
    assert driven.driver.overruns == 0
    driven.after(1.0 + OVERRUN_S + 0.1)
    assert driven.driver.overruns == 1


@pytest.mark.parametrize(
    ("step_s", "went_back"),
    [
        (CLOCK_STEP_S - 0.5, []),
        (0.5 - CLOCK_STEP_S, []),
        (CLOCK_STEP_S + 0.5, [False]),
        (-CLOCK_STEP_S - 0.5, [True]),
    ],
)
def test_a_clock_that_is_set_is_noticed_against_the_monotonic_one(
    world: World, step_s: float, went_back: list[bool]
) -> None:
    driven = Driven(world, "f")
    driven.driver.run_due()
    assert driven.driver.clock_set_s < 0
    driven.after(step_s)
    assert driven.went_back == went_back
    assert (driven.driver.clock_set_s > 0) == bool(went_back)
    driven.after(0.1)
    assert driven.went_back == went_back  # once


def test_it_sleeps_until_a_function_is_added_or_poked(world: World) -> None:
    async def main() -> list[str]:
        ticked: asyncio.Queue[str] = asyncio.Queue()
        loop = made(world)
        driver = LoopDriver(loop, Now(world), on_tick=lambda tick: ticked.put_nowait(tick.function))
        running = asyncio.create_task(driver.run())
        async with asyncio.timeout(5):
            await asyncio.sleep(0)  # it waits, for there is nothing to do
            loop.add(spec_of("f", lambda seen, now_s: Decision(replicas=None, reason="")))
            driver.wake()
            names = [await ticked.get()]
            driver.poke("f")
            names.append(await ticked.get())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert running.cancelled()
        return names + ["more" for _ in range(ticked.qsize())]

    assert asyncio.run(main()) == ["f", "f"]


def test_it_runs_when_a_function_becomes_due(world: World) -> None:
    async def main() -> int:
        ticks: list[float] = []
        enough = asyncio.Event()

        def ticked(tick: Tick) -> None:
            ticks.append(tick.now_s)
            world.now_s += 1.0  # the next one is due
            if len(ticks) == 3:
                enough.set()

        driver = LoopDriver(made(world, spec_of("f", each_second)), Now(world), on_tick=ticked)
        running = asyncio.create_task(driver.run())
        async with asyncio.timeout(5):
            await enough.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return len(ticks)

    assert asyncio.run(main()) == 3
