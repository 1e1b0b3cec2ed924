"""When revisions are decided on, with what, and who is told: on a clock that the test sets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dilu.errors import ConfigError
from dilu.spec import FunctionSpec
from dilu_autoscaler.knative.configuration.revision_settings import RevisionSettings, settings_of
from dilu_autoscaler.knative.deciding.deciders import Deciders, WallClock
from dilu_autoscaler.knative.deciding.loads import Replicas
from dilu_autoscaler.knative.reports.sampling import Load
from dilu_autoscaler.knative.reports.stats import Stat
from dilu_autoscaler.loop import Tick
from knative.revisions import CONFIG, autoscaler

KEY = "ns/rev"
OPTED_IN = {"dilu.dev/sm-request": "500", "dilu.dev/rps-limit": "10"}


def settings(annotations: dict[str, str] | None = None, **spec: Any) -> RevisionSettings:
    """A target of one request, a window of ten seconds."""
    short = {"target": "1", "target-utilization-percentage": "100", "window": "10s"}
    return settings_of(autoscaler(annotations={**short, **(annotations or {})}, spec=spec), CONFIG)


class Clock(WallClock):
    def __init__(self) -> None:
        self.at_s = 1_000_000.0

    def now_s(self) -> float:
        return self.at_s


class Decided:
    """Deciders whose world the test sets."""

    def __init__(self, policy: str = "dilu-paper") -> None:
        self.clock = Clock()
        self.ready, self.asked_for = 1, 1
        self.known = True
        self.capacity: float | None = None
        self.changed: list[str] = []
        self.ticks: list[Tick] = []
        self.deciders = Deciders(
            replicas=lambda key: self.replicas() if self.known else None,
            throughputs=self,
            on_change=self.changed.append,
            on_tick=lambda tick, settings: self.ticks.append(tick),
            policy=policy,
            clock=self.clock,
        )

    def learned_rps(self, key: str, now_s: float) -> float | None:
        return self.capacity

    def replicas(self) -> Replicas:
        return Replicas(
            ready=self.ready, starting=max(0, self.asked_for - self.ready), asked_for=max(self.asked_for, self.ready)
        )

    def scraped(self, concurrency: float, rps: float = 0.0) -> None:
        self.deciders.collector.record_scraped(KEY, Load(concurrency=concurrency, rps=rps), self.clock.at_s)

    def reported(self, concurrency: float, key: str = KEY) -> None:
        stat = Stat(
            key=key,
            pod="activator",
            concurrency=concurrency,
            proxied_concurrency=0.0,
            requests=concurrency,
            proxied_requests=0.0,
            uptime_s=0.0,
            time_s=int(self.clock.at_s),
        )
        self.deciders.collector.record(stat, self.clock.at_s)

    def after(self, seconds: float = 0.0) -> list[Tick]:
        """The ticks that are due then."""
        before = len(self.ticks)
        self.clock.at_s += seconds
        self.deciders.run_due()
        return self.ticks[before:]

    @property
    def desired(self) -> int | None:
        return self.deciders.desired(KEY)


@pytest.fixture(params=["dilu-paper"])
def world(request: pytest.FixtureRequest) -> Iterator[Decided]:
    async def made() -> Decided:
        return Decided(request.param)

    return iter([asyncio.run(made())])


BOTH_POLICIES = pytest.mark.parametrize("world", ["dilu", "dilu-paper"], indirect=True)


@pytest.fixture
def decided(world: Iterator[Decided]) -> Decided:
    return next(world)


def test_kpa_decides_every_two_seconds(decided: Decided) -> None:
    decided.deciders.ensure(KEY, settings())
    decided.scraped(2.0)
    assert [tick.decision.replicas for tick in decided.after()] == [2]
    assert decided.after(1.9) == []
    decided.scraped(5.0)
    assert len(decided.after(0.1)) == 1
    assert decided.changed == [KEY, KEY]


def test_nothing_is_decided_while_nothing_is_known(decided: Decided) -> None:
    decided.deciders.ensure(KEY, settings())
    for _ in range(30):
        decided.after(1.0)
    assert (decided.desired, decided.changed) == (None, [])
    assert decided.deciders.decided(KEY) == (-1, -210)
    decided.scraped(1.0)
    decided.known = False
    decided.after(2.0)
    assert decided.desired is None


def test_what_was_decided_stays_when_data_ends(decided: Decided) -> None:
    decided.deciders.ensure(KEY, settings())
    decided.scraped(4.0)
    decided.after()
    for _ in range(120):
        decided.after(1.0)
    assert decided.ticks[-1].seen is None
    assert decided.desired == 4


def test_at_zero_nothing_ticks_until_a_request_pokes(decided: Decided) -> None:
    decided.ready = decided.asked_for = 0
    decided.deciders.ensure(KEY, settings())
    decided.reported(0.0)
    decided.after()
    assert decided.desired == 0
    assert sum(len(decided.after(1.0)) for _ in range(200)) == 0
    decided.deciders.poke_at_rest(KEY)  # a pod ended, long after the last report
    assert [tick.decision.replicas for tick in decided.after()] == [0]
    assert sum(len(decided.after(1.0)) for _ in range(8)) == 0
    decided.reported(3.0)
    (tick,) = decided.after()
    assert tick.decision.replicas == 3
    assert decided.changed == [KEY, KEY]


def test_the_first_load_after_a_hand_over_is_decided_on_at_once(decided: Decided) -> None:
    decided.ready = decided.asked_for = 0
    decided.deciders.ensure(KEY, settings())
    decided.after()
    assert decided.after(0.1) == []
    decided.reported(1.0)
    (tick,) = decided.after()
    assert tick.decision.replicas == 1


def test_a_pod_that_comes_or_goes_at_rest_is_looked_at(decided: Decided) -> None:
    decided.ready = decided.asked_for = 0
    decided.deciders.ensure(KEY, settings())
    decided.reported(0.0)
    decided.after()
    decided.deciders.poke_at_rest(KEY)
    assert len(decided.after()) == 1
    decided.reported(2.0)
    decided.after()
    decided.deciders.poke_at_rest(KEY)  # it ticks anyway
    assert decided.after(0.1) == []


def test_a_spec_that_its_policy_refuses_leaves_the_revision_as_it_was(decided: Decided) -> None:
    good = settings(OPTED_IN)
    assert good.function is not None
    bad = replace(good, function=replace(good.function, rps_limit=5.0), class_="bad")

    def refuses(function: FunctionSpec) -> object:
        raise ConfigError("no such thing")

    kept = decided.deciders._policy
    decided.deciders._policy = replace(kept, settings_for=refuses)
    for _ in range(2):
        with pytest.raises(ConfigError):
            decided.deciders.ensure(KEY, bad)
    assert KEY not in decided.deciders
    decided.deciders._policy = kept
    decided.deciders.ensure(KEY, good)
    assert len(decided.after()) == 1


def test_reports_about_others_are_dropped(decided: Decided) -> None:
    decided.deciders.ensure(KEY, settings())
    decided.reported(9.0, key="ns/other")
    assert decided.deciders.collector.dropped == 1
    decided.deciders.poke("ns/other")
    assert [tick.function for tick in decided.after()] == [KEY]


def test_who_is_forgotten_is_decided_on_no_more_and_starts_again_when_it_comes_back(decided: Decided) -> None:
    decided.deciders.ensure(KEY, settings())
    decided.scraped(4.0)
    decided.after()
    decided.deciders.forget(KEY)
    decided.deciders.forget(KEY)
    assert KEY not in decided.deciders
    assert (decided.desired, decided.deciders.settings(KEY), decided.deciders.last_tick(KEY)) == (None, None, None)
    assert decided.after(10.0) == []
    decided.deciders.ensure(KEY, settings())
    decided.after()
    assert decided.desired is None


def test_the_same_settings_again_are_no_reason_to_decide(decided: Decided) -> None:
    decided.deciders.ensure(KEY, settings())
    decided.scraped(1.0)
    decided.after()
    decided.deciders.ensure(KEY, settings())
    assert decided.after(0.1) == []
    decided.deciders.ensure(KEY, settings({"min-scale": "3"}))  # is applied by the reconciler
    assert decided.after(0.1) == []
    decided.deciders.ensure(KEY, settings({"target": "0.5"}))
    (tick,) = decided.after()
    assert tick.decision.replicas == 2


def test_a_change_of_the_excess_s_sign_is_told_though_the_number_stays(decided: Decided) -> None:
    decided.deciders.ensure(KEY, settings({"target": "2", "target-burst-capacity": "2"}))
    decided.ready = decided.asked_for = 3
    decided.scraped(3.0)
    decided.after()
    assert decided.deciders.decided(KEY) == (3, 1)
    assert len(decided.changed) == 1
    decided.ready = 2
    decided.clock.at_s += 2.0
    decided.scraped(3.0)
    decided.after()
    assert decided.deciders.decided(KEY) == (3, -1)
    assert len(decided.changed) == 2
    decided.clock.at_s += 2.0
    decided.scraped(3.0)
    decided.after()
    assert len(decided.changed) == 2


def test_several_that_were_ready_at_the_start_stay_for_a_window(decided: Decided) -> None:
    decided.ready = decided.asked_for = 5
    decided.deciders.ensure(KEY, settings())
    for _ in range(6):
        decided.scraped(0.0)
        decided.after(2.0)
    assert decided.desired == 5
    decided.scraped(0.0)
    decided.after(2.0)
    assert decided.desired == 2  # at most half as many in one step


def test_those_that_became_ready_after_the_start_may_go_at_once(decided: Decided) -> None:
    """An initial scale of five: Knative's scaler is there before they are."""
    decided.ready, decided.asked_for = 0, 5
    decided.deciders.ensure(KEY, settings())
    decided.after()
    decided.ready = 5
    decided.clock.at_s += 2.0
    decided.scraped(0.0)
    decided.after()
    assert decided.desired == 2


def test_a_clock_that_went_back_forgets_all_loads_and_starts_again(decided: Decided) -> None:
    decided.ready = decided.asked_for = 3
    decided.deciders.ensure(KEY, settings())
    decided.scraped(3.0)
    decided.after()
    decided.after(-3600.0)
    decided.scraped(0.0)
    decided.after(2.0)
    assert decided.desired == 3
    assert decided.ticks[-1].decision.panicking  # as after a restart


def test_a_clock_that_jumps_ahead_is_no_quiet_hour(decided: Decided) -> None:
    decided.deciders.ensure(KEY, settings())
    decided.scraped(3.0)
    decided.after()
    decided.changed.clear()
    decided.after(3600.0)
    assert decided.desired == 3
    assert decided.changed == [KEY]  # what it waits for may be due by now
    decided.scraped(3.0)
    decided.after(2.0)
    assert decided.desired == 3
    assert decided.deciders.overruns == 1
    assert decided.deciders.clock_set_s > 0.0


def test_an_opted_in_revision_is_co_scaled_from_as_many_as_there_are(decided: Decided) -> None:
    decided.ready = decided.asked_for = 2
    decided.deciders.ensure(KEY, settings(OPTED_IN))
    for _ in range(40):
        decided.scraped(5.0, rps=30.0)  # 15 each, of 10
        decided.after(1.0)
    assert decided.desired == 3
    assert [tick.now_s - 1_000_000.0 for tick in decided.ticks[-3:]] == [38.0, 39.0, 40.0]  # each second
    assert decided.deciders.decided(KEY)[1] < 0  # KPA's own, as ever


def test_an_opted_in_revision_without_a_report_is_left_as_it_is(decided: Decided) -> None:
    decided.ready = decided.asked_for = 3
    decided.deciders.ensure(KEY, settings(OPTED_IN))
    for _ in range(90):
        decided.after(1.0)
    assert decided.desired is None
    assert decided.changed == []


def test_an_opted_in_revision_without_requests_for_40_seconds_goes_to_zero_and_comes_back(decided: Decided) -> None:
    decided.deciders.ensure(KEY, settings(OPTED_IN))
    for _ in range(45):
        decided.scraped(0.0)
        decided.after(1.0)
    assert decided.desired == 0
    decided.ready = decided.asked_for = 0
    decided.after(30.0)
    decided.reported(1.0)
    decided.after()
    assert decided.desired == 1
    assert decided.ticks[-1].decision.reason == "from zero: 1 waiting"


@BOTH_POLICIES
def test_from_zero_each_second_is_looked_at_for_more_may_come(decided: Decided) -> None:
    decided.ready = decided.asked_for = 0
    decided.deciders.ensure(KEY, settings(OPTED_IN))
    decided.after()
    decided.reported(1.0)
    ticks = decided.after(0.1)
    decided.asked_for = 1
    for _ in range(60):
        decided.reported(50.0)  # of which a replica takes 10
        ticks += decided.after(1.0)
        decided.ready = 1
    assert len(ticks) == 61
    assert decided.desired is not None
    assert decided.desired > 1


def test_from_zero_an_opted_in_revision_gets_its_activation_scale(decided: Decided) -> None:
    decided.ready = decided.asked_for = 0
    decided.deciders.ensure(KEY, settings({**OPTED_IN, "activation-scale": "3"}))
    decided.after()
    assert decided.desired == 0
    decided.reported(1.0)
    decided.after()
    assert decided.desired == 3


@BOTH_POLICIES
def test_the_activation_scale_holds_until_that_number_was_ready_at_once(decided: Decided) -> None:
    """Their model may take minutes to load, longer than either policy keeps what it does not need."""
    decided.ready = decided.asked_for = 0
    decided.deciders.ensure(KEY, settings({**OPTED_IN, "activation-scale": "3"}))
    decided.after()
    decided.asked_for = 3
    for second in range(300):
        decided.ready = min(2, second // 30)
        decided.reported(1.0)
        decided.after(1.0)
        assert decided.desired == 3
    decided.ready = 3
    for _ in range(300):
        decided.reported(1.0)
        decided.after(1.0)
    assert decided.desired == 1


def test_an_activation_scale_beyond_the_max_scale_is_that(decided: Decided) -> None:
    decided.ready = decided.asked_for = 0
    decided.deciders.ensure(KEY, settings({**OPTED_IN, "activation-scale": "3", "max-scale": "2"}))
    decided.after()
    decided.reported(1.0)
    decided.after()
    assert decided.desired == 2


@BOTH_POLICIES
def test_a_first_replica_that_does_not_start_is_given_up_after_a_window_without_requests(decided: Decided) -> None:
    decided.ready = decided.asked_for = 0
    decided.deciders.ensure(KEY, settings(OPTED_IN))
    decided.reported(1.0)
    decided.after()
    decided.asked_for = 1
    for _ in range(30):  # as long as the activator holds the request
        decided.reported(1.0)
        decided.after(1.0)
    assert not decided.deciders.may_give_up(KEY)
    decided.changed.clear()
    for _ in range(12):
        decided.after(1.0)
    assert decided.deciders.may_give_up(KEY)
    assert decided.changed == [KEY]
    assert decided.desired == 1  # the policy's: it may still come
    decided.asked_for = 0  # given up
    decided.deciders.poke(KEY)
    decided.after()
    assert (decided.desired, decided.deciders.may_give_up(KEY)) == (0, False)
    decided.reported(1.0)
    decided.after(5.0)
    assert decided.desired == 1


@BOTH_POLICIES
def test_a_first_replica_that_is_ready_after_all_is_kept_for_a_while(decided: Decided) -> None:
    decided.ready = 0
    decided.deciders.ensure(KEY, settings(OPTED_IN))
    for _ in range(20):
        decided.after(1.0)
    assert decided.deciders.may_give_up(KEY)
    decided.ready = 1
    decided.scraped(0.0)
    decided.after(1.0)
    assert (decided.desired, decided.deciders.may_give_up(KEY)) == (1, False)


@BOTH_POLICIES
def test_the_throughput_said_last_counts_while_runtimes_are_too_busy_to_answer(decided: Decided) -> None:
    decided.deciders.ensure(KEY, settings({"dilu.dev/sm-request": "500"}))
    decided.capacity = 10.0
    for _ in range(5):
        decided.scraped(1.0, rps=5.0)
        decided.after(1.0)
    decided.capacity = None
    for _ in range(60):
        decided.scraped(40.0, rps=40.0)
        decided.asked_for = max(1, decided.desired or 0)
        decided.after(1.0)
    assert decided.desired is not None
    assert decided.desired > 1


@BOTH_POLICIES
@pytest.mark.parametrize("learned_rps", [1e-6, 0.01])
def test_an_absurd_load_and_throughput_make_a_number_that_knative_can_have(
    decided: Decided, learned_rps: float
) -> None:
    decided.deciders.ensure(KEY, settings({"dilu.dev/sm-request": "500"}))
    decided.capacity = learned_rps
    for _ in range(90):
        decided.scraped(1.0, rps=1e15)
        decided.asked_for = max(1, min(decided.desired or 1, 2**31 - 1))
        decided.after(1.0)
    assert not any(tick.failed for tick in decided.ticks)
    assert decided.desired is not None
    assert decided.desired <= 2**31 - 1


def test_the_excess_of_an_opted_in_revision_goes_on_while_its_policy_holds(decided: Decided) -> None:
    """Nothing new is known of the last second, so its policy holds; requests go past the activators all the same."""
    decided.ready = decided.asked_for = 3
    burst = {"target": "2", "target-burst-capacity": "2", "window": "60s"}
    decided.deciders.ensure(KEY, settings({**OPTED_IN, **burst}))
    decided.scraped(1.0, rps=1.0)
    decided.after(0.5)
    assert decided.ticks[-1].decision.replicas is None
    assert decided.deciders.decided(KEY) == (-1, 3)
    decided.scraped(9.0, rps=9.0)
    decided.deciders.poke(KEY)
    decided.after()
    assert decided.deciders.decided(KEY)[1] < 0
    assert decided.changed == [KEY]


def test_without_a_throughput_kpa_decides_on_an_opted_in_revision_until_one_is_learned(decided: Decided) -> None:
    decided.deciders.ensure(KEY, settings({"dilu.dev/sm-request": "500"}))
    decided.scraped(3.0, rps=3.0)
    decided.after(1.0)
    assert decided.deciders.policy(KEY) == "kpa"
    assert decided.desired == 3
    decided.capacity = 10.0
    decided.scraped(3.0, rps=3.0)
    decided.after(2.0)
    assert decided.deciders.policy(KEY) == "dilu-paper"
    decided.scraped(3.0, rps=3.0)
    decided.after(2.0)
    assert decided.ticks[-1].seen is not None
    assert decided.ticks[-1].seen.learned_rps == 10.0
    assert [sample.rps for sample in decided.ticks[-1].seen.samples] == [3.0]


def test_a_revision_that_opts_in_and_out_again_keeps_its_number(decided: Decided) -> None:
    decided.deciders.ensure(KEY, settings())
    decided.scraped(4.0)
    decided.after()
    decided.deciders.ensure(KEY, settings(OPTED_IN))
    decided.scraped(4.0, rps=40.0)
    decided.after(1.0)
    assert decided.desired == 4
    assert decided.ticks[-1].seen is not None
    assert decided.ticks[-1].seen.desired == 4
    decided.ready = decided.asked_for = 4
    decided.deciders.ensure(KEY, settings())
    decided.scraped(0.0)
    decided.after(1.0)
    assert decided.ticks[-1].decision.panicking  # KPA starts again, with four


def test_a_listener_that_fails_at_one_revision_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async def made() -> list[str]:
        told: list[str] = []

        def on_tick(tick: Tick, settings: RevisionSettings) -> None:
            if tick.function == "ns/a":
                raise RuntimeError("broken")
            told.append(tick.function)

        deciders = Deciders(
            replicas=lambda key: Replicas(ready=1, starting=0, asked_for=1),
            throughputs=Decided(),
            on_change=lambda key: None,
            on_tick=on_tick,
            policy="kpa",
        )
        for key in ("ns/a", "ns/b"):
            deciders.ensure(key, settings())
        deciders.run_due()
        return told

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(made()) == ["ns/b"]
    assert "fn=ns/a its tick could not be passed on" in caplog.text


def test_the_running_loop_decides_when_it_is_poked() -> None:
    async def main() -> None:
        decided = asyncio.Event()
        deciders = Deciders(
            replicas=lambda key: Replicas(ready=0, starting=0, asked_for=0),
            throughputs=Decided(),
            on_change=lambda key: decided.set(),
            on_tick=lambda tick, settings: None,
            policy="kpa",
        )
        running = asyncio.create_task(deciders.run())
        async with asyncio.timeout(5):
            await asyncio.sleep(0)  # it waits, for there is no revision yet
            deciders.ensure(KEY, replace(settings()))
            deciders.collector.record_scraped(KEY, Load(concurrency=2.0, rps=0.0), WallClock().now_s())
            await decided.wait()
        assert deciders.desired(KEY) == 2
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())
