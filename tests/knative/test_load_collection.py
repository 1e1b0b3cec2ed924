"""Reports become the averages that KPA decides on; no report is not the same as no load."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.knative.configuration.revision_settings import Collection
from dilu_autoscaler.knative.reports.collector import MAX_PENDING, Collector
from dilu_autoscaler.knative.reports.sampling import Load
from dilu_autoscaler.knative.reports.stats import Stat
from dilu_autoscaler.policy.horizontal.kpa.settings import Aggregation, ScalingMetric
from dilu_autoscaler.policy.horizontal.kpa.windows import average, empty_window, record
from dilu_autoscaler.policy.horizontal.observations import Averages, Sample

KEY = "ns/rev"
SCRAPED = Collection(stable_window_s=60, panic_window_s=6, is_scraped=True)


def stat(time_s: int, *, concurrency: float = 0.0, proxied: float = 0.0, requests: float = 0.0, key: str = KEY) -> Stat:
    return Stat(
        key=key,
        pod="activator",
        concurrency=concurrency,
        proxied_concurrency=proxied,
        requests=requests,
        proxied_requests=0.0,
        uptime_s=0.0,
        time_s=time_s,
    )


class Scaled:
    """A collector with the revisions of whose load it told."""

    def __init__(self, collection: Collection = SCRAPED) -> None:
        self.told: list[str] = []
        self.found: list[Averages | None] = []
        self.collector = Collector(self)
        self.collector.collect(KEY, collection, 1000.0)

    def load_reported(self, key: str) -> None:
        self.told.append(key)
        self.found.append(self.concurrency(1000.0))

    def concurrency(self, now_s: float) -> Averages | None:
        return self.collector.averages(KEY, ScalingMetric.CONCURRENCY, now_s)


def test_what_activators_and_pods_say_of_one_second_adds_up() -> None:
    scaled = Scaled()
    scaled.collector.record(stat(1000, concurrency=3.0, requests=5.0), 1000.2)
    scaled.collector.record_scraped(KEY, Load(concurrency=1.0, rps=2.0), 1000.7)
    assert scaled.concurrency(1000.9) == Averages(stable=4.0, panic=4.0)
    assert scaled.collector.averages(KEY, ScalingMetric.RPS, 1000.9) == Averages(stable=7.0, panic=7.0)


def test_what_came_through_an_activator_is_not_counted_twice() -> None:
    scaled = Scaled()
    scaled.collector.record(stat(1000, concurrency=3.0, proxied=2.0), 1000.0)
    assert scaled.concurrency(1000.0) == Averages(stable=1.0, panic=1.0)


def test_nothing_was_said_is_no_data_and_zero_was_said_is_zero() -> None:
    scaled = Scaled()
    assert scaled.concurrency(1000.0) is None
    scaled.collector.record_scraped(KEY, Load(concurrency=0.0, rps=0.0), 1000.0)
    assert scaled.concurrency(1060.9) == Averages(stable=0.0, panic=0.0)
    assert scaled.concurrency(1061.0) is None


def test_where_no_pod_is_asked_silence_is_no_load() -> None:
    scaled = Scaled(Collection(stable_window_s=60, panic_window_s=6, is_scraped=False))
    assert scaled.concurrency(1000.0) == Averages(stable=0.0, panic=0.0)


def test_reports_on_unknown_revisions_are_dropped() -> None:
    scaled = Scaled()
    scaled.collector.record(stat(1000, concurrency=1.0, key="ns/other"), 1000.0)
    scaled.collector.record_scraped("ns/other", Load(concurrency=1.0, rps=1.0), 1000.0)
    assert (scaled.collector.dropped, scaled.told) == (2, [])
    assert scaled.collector.averages("ns/other", ScalingMetric.CONCURRENCY, 1000.0) is None
    scaled.collector.forget(KEY)
    scaled.collector.forget(KEY)
    scaled.collector.record(stat(1000, concurrency=1.0), 1000.0)
    assert scaled.concurrency(1000.0) is None


@pytest.mark.parametrize(("concurrency", "is_told"), [(1.0, True), (0.0, False)])
def test_a_report_with_load_is_told_to_the_listener(concurrency: float, is_told: bool) -> None:
    scaled = Scaled()
    scaled.collector.record(stat(1000, concurrency=concurrency, requests=1.0), 1000.0)
    assert scaled.told == [KEY] * is_told


def test_the_listener_finds_the_report_in_the_windows() -> None:
    scaled = Scaled()
    scaled.collector.record(stat(1000, concurrency=1.0), 1000.0)
    assert scaled.found == [Averages(stable=1.0, panic=1.0)]


def test_another_window_keeps_what_fits() -> None:
    scaled = Scaled()
    for second in range(1000, 1020):
        scaled.collector.record(stat(second, concurrency=float(second >= 1010)), float(second))
    scaled.collector.collect(KEY, Collection(stable_window_s=10, panic_window_s=6, is_scraped=True), 1019.5)
    assert scaled.concurrency(1019.5) == Averages(stable=1.0, panic=1.0)


def test_another_aggregation_is_not_noticed() -> None:
    weighted = Collection(
        stable_window_s=60, panic_window_s=6, is_scraped=True, aggregation=Aggregation.WEIGHTED_EXPONENTIAL
    )
    scaled = Scaled(weighted)
    scaled.collector.collect(KEY, SCRAPED, 1000.0)
    scaled.collector.record(stat(1000, concurrency=1.0), 1000.0)
    averages = scaled.concurrency(1000.0)
    assert averages is not None
    assert averages.stable == 0.2


def test_numbers_that_are_none_do_no_harm() -> None:
    scaled = Scaled()
    for value in (math.nan, math.inf, -math.inf, 1e300):
        scaled.collector.record(stat(1000, concurrency=value), 1000.0)
        scaled.collector.record(stat(1000, requests=value), 1000.0)
    assert scaled.collector.dropped == 8
    scaled.collector.record(stat(1000, concurrency=1.0), 1000.0)
    assert scaled.concurrency(1000.0) == Averages(stable=1.0, panic=1.0)


def test_a_report_from_far_ahead_counts_as_one_of_now() -> None:
    scaled = Scaled()
    scaled.collector.record(stat(10**12, concurrency=1.0), 1000.0)
    scaled.collector.record(stat(1001, concurrency=3.0), 1001.0)
    assert scaled.concurrency(1001.0) == Averages(stable=2.0, panic=2.0)


def test_a_report_from_longer_ago_than_any_is_kept_counts_as_one_of_now() -> None:
    scaled = Scaled()
    scaled.collector.record(stat(1001, concurrency=1.0), 5000.0)
    scaled.collector.record(stat(5001, concurrency=3.0), 5001.0)
    assert scaled.concurrency(5001.0) == Averages(stable=2.0, panic=2.0)


def test_after_the_clock_went_back_all_loads_are_forgotten() -> None:
    scaled = Scaled()
    scaled.collector.record(stat(1000, concurrency=5.0), 1000.0)
    scaled.collector.start_afresh()
    assert scaled.concurrency(500.0) is None
    scaled.collector.record(stat(500, concurrency=1.0), 500.0)
    assert scaled.concurrency(500.0) == Averages(stable=1.0, panic=1.0)


def test_seconds_are_handed_out_as_far_as_something_is_known() -> None:
    scaled = Scaled()
    assert scaled.collector.seconds(KEY, since_s=990.0, until_s=1001.0) == ()
    scaled.collector.record(stat(1000, concurrency=1.0, requests=2.0), 1000.0)
    scaled.collector.record(stat(1002, concurrency=3.0, requests=4.0), 1002.0)
    known = (
        Sample(t_s=1000.0, concurrency=1.0, rps=2.0),
        Sample(t_s=1001.0, concurrency=0.0, rps=0.0),
        Sample(t_s=1002.0, concurrency=3.0, rps=4.0),
    )
    assert scaled.collector.seconds(KEY, since_s=0.0, until_s=1010.0) == known
    assert scaled.collector.seconds(KEY, since_s=1001.0, until_s=1002.9) == known[1:2]
    assert scaled.collector.seconds("ns/other", since_s=0.0, until_s=1010.0) == ()


@given(
    st.lists(st.tuples(st.integers(0, 200), st.floats(0, 1e6)), max_size=50), st.integers(1, 80), st.integers(0, 300)
)
def test_put_in_late_is_put_in_at_once(points: list[tuple[int, float]], length: int, now_s: int) -> None:
    scaled = Scaled(Collection(stable_window_s=length, panic_window_s=1, is_scraped=False))
    window = empty_window(length)
    for t_s, value in points:
        scaled.collector.record_scraped(KEY, Load(concurrency=value, rps=0.0), float(t_s))
        window = record(window, [(float(t_s), value)])
    averages = scaled.concurrency(float(now_s))
    assert averages is not None
    assert averages.stable == average(window, float(now_s))


def test_not_more_than_some_reports_wait() -> None:
    scaled = Scaled()
    for _ in range(3 * MAX_PENDING):
        scaled.collector.record(stat(1000, concurrency=1.0), 1000.0)
    assert scaled.concurrency(1000.0) == Averages(stable=3.0 * MAX_PENDING, panic=3.0 * MAX_PENDING)
