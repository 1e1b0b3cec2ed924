"""What the loop sees of a revision: KPA's averages, or each second once; and no data is not zero load."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.knative.configuration.revision_settings import Collection
from dilu_autoscaler.knative.deciding.kpa_policy import AVERAGED_KPA
from dilu_autoscaler.knative.deciding.loads import GIVEN_UP_S, MAX_LOOK_BACK_S, Loads, Replicas
from dilu_autoscaler.knative.reports.collector import Collector
from dilu_autoscaler.knative.reports.sampling import Load
from dilu_autoscaler.knative.reports.stats import Stat
from dilu_autoscaler.policy.horizontal.kpa.settings import KpaSpec, ScalingMetric
from dilu_autoscaler.policy.horizontal.observations import Averages, Observation, Sample

KEY = "ns/rev"
SPEC = KpaSpec(target=1.0, total=1.0)
UNLIMITED = KpaSpec(target=1.0, total=1.0, target_burst_capacity=-1)


def replicas(ready: int, starting: int = 0, asked_for: int | None = None) -> Replicas:
    return Replicas(ready=ready, starting=starting, asked_for=ready + starting if asked_for is None else asked_for)


class Seen:
    """One revision's loads; the test sets what the cluster knows."""

    def __init__(self, *, opted_in: bool, ready: Replicas | None, kpa: KpaSpec = SPEC) -> None:
        self.replicas = ready
        self.capacity: float | None = None
        self.recorded: int | None = None
        self.collector = Collector(self)
        scraped = kpa.target_burst_capacity != -1
        self.collector.collect(KEY, Collection(stable_window_s=60, panic_window_s=6, is_scraped=scraped), 1000.0)
        self.loads = Loads(self.collector, replicas=lambda _: self.replicas, throughputs=self, recorded=self)
        self.loads.watch(KEY, kpa, co_scales=opted_in)

    def load_reported(self, key: str) -> None:
        """No loop runs here."""

    def desired(self, key: str) -> int | None:
        return self.recorded

    def learned_rps(self, key: str, now_s: float) -> float | None:
        return self.capacity

    def second(self, t_s: float, concurrency: float = 0.0, rps: float = 0.0) -> None:
        self.collector.record_scraped(KEY, Load(concurrency=concurrency, rps=rps), t_s)

    def at(self, now_s: float) -> Observation:
        seen = self.loads.observe(KEY, now_s)
        assert seen is not None
        return seen

    def averages(self, now_s: float) -> Averages:
        seen = self.at(now_s)
        assert seen.averaged is not None
        return seen.averaged.averages

    def times(self, now_s: float) -> list[float]:
        return [sample.t_s for sample in self.at(now_s).samples]


def test_kpa_sees_the_averages_of_its_own_metric() -> None:
    seen = Seen(opted_in=False, ready=replicas(3, 1))
    seen.second(1000, concurrency=4.0, rps=8.0)
    observed = seen.at(1000.5)
    assert (observed.ready, observed.starting, observed.desired) == (3, 1, -1)
    assert seen.averages(1000.5) == Averages(stable=4.0, panic=4.0)
    seen.loads.watch(KEY, KpaSpec(target=1.0, total=1.0, metric=ScalingMetric.RPS), co_scales=False)
    seen.recorded = 4
    assert seen.averages(1000.5) == Averages(stable=8.0, panic=8.0)
    assert seen.at(1000.5).desired == 4


def test_kpa_sees_nothing_before_the_first_report_and_after_a_window_without_any() -> None:
    seen = Seen(opted_in=False, ready=replicas(1))
    assert seen.loads.observe(KEY, 1000.0) is None
    seen.second(1000, concurrency=1.0)
    assert seen.loads.observe(KEY, 1060.9) is not None
    assert seen.loads.observe(KEY, 1061.0) is None


def test_with_an_unlimited_burst_silence_is_no_load() -> None:
    seen = Seen(opted_in=False, ready=replicas(1), kpa=UNLIMITED)
    assert seen.averages(1000.0) == Averages(stable=0.0, panic=0.0)


@pytest.mark.parametrize("opted_in", [True, False])
def test_while_the_replicas_are_not_known_nothing_is_seen(opted_in: bool) -> None:
    seen = Seen(opted_in=opted_in, ready=None)
    seen.second(1000, concurrency=1.0)
    assert seen.loads.observe(KEY, 1001.5) is None
    assert seen.loads.observe("ns/other", 1001.5) is None


def test_kpa_begins_with_the_replicas_of_the_first_look_though_data_comes_later() -> None:
    """Knative makes its scaler then; three that became ready meanwhile are no reason for panic."""
    seen = Seen(opted_in=False, ready=replicas(0, 3))
    assert seen.loads.observe(KEY, 1000.0) is None
    seen.replicas = replicas(3)
    seen.second(1004, concurrency=0.0)
    observed = seen.at(1005.0)
    state = AVERAGED_KPA.initial_state(SPEC, observed, 1005.0)
    assert (state.panic_since_s, state.panic_peak) == (None, 0)


def test_kpa_begins_in_panic_where_several_were_ready_at_the_first_look() -> None:
    seen = Seen(opted_in=False, ready=replicas(5))
    assert seen.loads.observe(KEY, 1000.0) is None
    seen.second(1004, concurrency=0.0)
    decision, state = AVERAGED_KPA.decide(
        SPEC, seen.at(1005.0), AVERAGED_KPA.initial_state(SPEC, seen.at(1005.0), 1005.0), 1005.0
    )
    assert (state.panic_since_s, decision.replicas) == (1000.0, 5)


def test_each_second_is_handed_out_once_and_when_it_is_over() -> None:
    seen = Seen(opted_in=True, ready=replicas(1))
    for second in range(1000, 1004):
        seen.second(second + 0.5, concurrency=1.0, rps=float(second - 1000))
    assert seen.times(1001.2) == []  # its reports may still come
    assert seen.at(1001.25).samples == (Sample(t_s=1000.0, concurrency=1.0, rps=0.0),)
    assert seen.times(1001.3) == []
    assert seen.times(1003.3) == [1001.0, 1002.0]
    assert seen.at(1003.3).next_sample_s == 1004.25


def test_a_second_without_a_report_of_a_revision_with_replicas_is_waited_for_and_then_left_out() -> None:
    seen = Seen(opted_in=True, ready=replicas(1))
    seen.second(1000)
    assert seen.times(1001.3) == [1000.0]
    assert seen.times(1003.3) == []  # 1001 and 1002: nothing heard
    seen.second(1003)
    assert seen.times(1004.3) == [1001.0, 1002.0, 1003.0]  # zeros between two reports
    assert seen.times(1004.3 + GIVEN_UP_S + 2.0) == []
    seen.second(1012)
    assert seen.times(1013.3) == [1006.0, 1007.0, 1008.0, 1009.0, 1010.0, 1011.0, 1012.0]


def test_at_zero_every_second_is_known_for_activators_report_only_what_they_hold() -> None:
    seen = Seen(opted_in=True, ready=replicas(0, asked_for=0))
    seen.recorded = 0
    assert seen.at(1001.3).samples == (Sample(t_s=1000.0, concurrency=0.0, rps=0.0),)
    assert seen.at(1003.3).samples == tuple(Sample(t_s=at, concurrency=0.0, rps=0.0) for at in (1001.0, 1002.0))
    assert seen.at(1003.3).next_sample_s is None  # nothing to look for until a poke


def test_with_an_unlimited_burst_an_opted_in_revision_hears_quiet_seconds_too() -> None:
    """Its pods are not scraped, and activators report nothing where there is nothing: it could never go to zero."""
    seen = Seen(opted_in=True, ready=replicas(1), kpa=UNLIMITED)
    seen.second(1000, concurrency=1.0, rps=2.0)
    assert seen.times(1001.3) == [1000.0]
    assert seen.at(1004.3).samples == tuple(Sample(t_s=at, concurrency=0.0, rps=0.0) for at in (1001.0, 1002.0, 1003.0))


def test_requests_that_wait_at_zero_are_seen_at_once() -> None:
    seen = Seen(opted_in=True, ready=replicas(0, asked_for=0))
    seen.recorded = 0
    stat = Stat(
        key=KEY,
        pod="activator",
        concurrency=1.0,
        proxied_concurrency=0.0,
        requests=1.0,
        proxied_requests=0.0,
        uptime_s=0.0,
        time_s=1000,
    )
    seen.collector.record(stat, 1000.1)
    assert seen.at(1000.1).waiting == 1
    seen.replicas = replicas(1)
    assert seen.at(1000.2).waiting == 0


def test_before_the_first_decision_what_the_deployment_asks_for_is_what_is_desired() -> None:
    seen = Seen(opted_in=True, ready=replicas(2, 1))
    assert seen.at(1000.0).desired == 3
    seen.recorded = 1
    assert seen.at(1000.0).desired == 1


def test_what_one_replica_can_take_is_what_the_runtimes_learned() -> None:
    seen = Seen(opted_in=True, ready=replicas(1))
    seen.capacity = 12.5
    assert seen.at(1000.0).learned_rps == 12.5


def test_after_a_week_at_zero_only_the_last_minute_is_looked_at() -> None:
    seen = Seen(opted_in=True, ready=replicas(0, asked_for=0))
    seen.recorded = 0
    seen.at(1001.3)
    assert len(seen.at(1001.3 + 604_800).samples) == MAX_LOOK_BACK_S


def test_a_clock_that_went_back_far_starts_again_and_a_little_repeats_nothing() -> None:
    seen = Seen(opted_in=True, ready=replicas(0, asked_for=0))
    seen.recorded = 0
    assert seen.times(1001.3) == [1000.0]
    assert seen.times(999.5) == []  # 1.8 s back
    assert seen.times(1001.3) == []
    assert seen.times(1002.3) == [1001.0]
    assert seen.times(500.3) == [499.0]
    assert seen.times(501.3) == [500.0]


@given(
    reports=st.lists(st.integers(0, 90), max_size=60),
    looks=st.lists(st.floats(0.0, 100.0, allow_nan=False), max_size=60),
    ready=st.integers(0, 2),
)
def test_no_second_is_handed_out_twice_nor_before_one_that_was(
    reports: Sequence[int], looks: Sequence[float], ready: int
) -> None:
    seen = Seen(opted_in=True, ready=replicas(ready))
    given_out: list[float] = []
    pending = sorted(reports)
    for look in sorted(looks):
        while pending and pending[0] <= look:
            seen.second(1000 + pending.pop(0), concurrency=1.0)
        given_out += [sample.t_s for sample in seen.at(1000.0 + look).samples]
    assert given_out == sorted(set(given_out))
    assert all(math.floor(at) + 1.25 <= 1000.0 + max(looks, default=0.0) for at in given_out)
