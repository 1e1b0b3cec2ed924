"""When a request is expected to be answered, and how wrong such expectations may be."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.answer_prediction import Margin, RunningBatch, answer_after_s, budget_s, retry_after_s
from dilu.batching import BatchRule, ExecutionFit

FIT = ExecutionFit(fixed_s=0.010, per_item_s=0.001)
RULE = BatchRule(max_size=10)  # a full batch takes 20 ms
FULL = RunningBatch(0.0, 10)

fits = st.builds(ExecutionFit, only_size=st.none(), fixed_s=st.floats(0, 1), per_item_s=st.floats(0, 0.1))
rules = st.builds(BatchRule, max_size=st.integers(1, 64), slo_s=st.none() | st.floats(0.001, 10))


def after_s(ahead: int, *running: RunningBatch, slots: int = 1, rps: float = 0.0, now_s: float = 0.0) -> float:
    return answer_after_s(RULE, FIT, ahead=ahead, running=running, slots=slots, arrival_rps=rps, now_s=now_s)


@pytest.mark.parametrize(
    ("name", "want_s", "got_s"),
    [
        ("alone it takes the time of one", 0.011, after_s(0)),
        ("those who wait in its batch lengthen it", 0.013, after_s(2)),
        ("a full batch before it runs first", 0.020 + 0.011, after_s(10)),
        ("what is left of a running batch comes first", 0.015 + 0.011, after_s(0, FULL, now_s=0.005)),
        ("a small running batch ends sooner", 0.006 + 0.011, after_s(0, RunningBatch(0.0, 1), now_s=0.005)),
        ("those who come until it begins join its batch", 0.020 + 0.014, after_s(0, FULL, rps=150.0)),
        ("a batch holds no more than it may", 0.020 + 0.020, after_s(0, FULL, rps=1e6)),
        ("an overdue batch takes as long again as it is late", 0.030 + 0.011, after_s(0, FULL, now_s=0.050)),
        ("an idle slot takes it at once", 0.011, after_s(0, FULL, slots=2)),
        ("with all slots busy it waits for the first", 0.005 + 0.011, after_s(0, FULL, FULL, slots=2, now_s=0.015)),
        (
            "the batch after it waits for the second",
            0.014 + 0.011,
            after_s(10, RunningBatch(-0.016, 10), RunningBatch(-0.006, 10), slots=2),
        ),
        ("it never overtakes a batch in another slot", 0.020, after_s(10, slots=2)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_is_expected(name: str, want_s: float, got_s: float) -> None:
    assert got_s == pytest.approx(want_s), name


@given(
    rule=rules,
    fit=fits,
    ahead=st.integers(0, 300),
    more=st.integers(0, 100),
    slots=st.integers(1, 4),
    running=st.lists(st.builds(RunningBatch, st.floats(0, 1), st.integers(1, 64)), max_size=4),
    rps=st.floats(0, 1e4),
)
def test_a_request_with_more_ahead_is_not_answered_sooner(
    rule: BatchRule, fit: ExecutionFit, ahead: int, more: int, slots: int, running: list[RunningBatch], rps: float
) -> None:
    def expected_s(count: int) -> float:
        return answer_after_s(rule, fit, ahead=count, running=running[:slots], slots=slots, arrival_rps=rps, now_s=1.0)

    assert expected_s(ahead) <= expected_s(ahead + more) + 1e-9


@given(rule=rules, fit=fits, rps=st.floats(0, 1e4))
def test_an_idle_replica_answers_a_lone_request_in_the_time_that_it_takes(
    rule: BatchRule, fit: ExecutionFit, rps: float
) -> None:
    lone_s = answer_after_s(rule, fit, ahead=0, running=[], slots=1, arrival_rps=rps)
    assert lone_s == pytest.approx(fit.execution_s(1))


@given(slo_s=st.floats(0.001, 100))
def test_some_of_the_objective_is_kept_for_what_is_not_predicted(slo_s: float) -> None:
    assert 0.85 * slo_s <= budget_s(slo_s) < slo_s


@pytest.mark.parametrize(("answer_s", "objective_s", "want_s"), [(0.1, 0.5, 1), (2.6, 0.5, 3), (2.5, 0.5, 2)])
def test_a_client_is_told_when_to_come_again(answer_s: float, objective_s: float, want_s: int) -> None:
    assert retry_after_s(answer_s, objective_s) == want_s


def late_share(margin: Margin, lateness_s: list[float]) -> tuple[Margin, float]:
    late = 0
    for late_s in lateness_s:
        late += late_s > margin.margin_s
        margin = margin.learned(late_s=late_s, objective_s=1.0)
    return margin, late / len(lateness_s)


@given(seed=st.integers(0, 1000), spread_s=st.floats(0.0, 0.08), shift_s=st.floats(-0.2, 0.1))
def test_the_margin_settles_where_about_one_batch_in_a_hundred_is_late(
    seed: int, spread_s: float, shift_s: float
) -> None:
    rng = random.Random(seed)
    lateness_s = [rng.expovariate(1.0) * spread_s / 5 + shift_s for _ in range(6000)]
    margin, _ = late_share(Margin(), lateness_s[:2000])
    _, share = late_share(margin, lateness_s[2000:])
    assert share <= 0.015


@given(late_s=st.lists(st.floats(-10, 10), max_size=50), stalls=st.integers(0, 60), objective_s=st.floats(0.001, 10))
def test_the_margin_stays_between_nothing_and_a_quarter_of_the_objective(
    late_s: list[float], stalls: int, objective_s: float
) -> None:
    margin = Margin()
    for late in [*late_s, *[100.0] * stalls, *late_s]:
        margin = margin.learned(late_s=late, objective_s=objective_s)
        assert 0.0 <= margin.margin_s <= 0.25 * objective_s


def test_the_margin_stops_at_a_quarter_of_the_objective() -> None:
    margin = Margin()
    for _ in range(50):
        margin = margin.learned(late_s=9.0, objective_s=2.0)
    assert margin.margin_s == 0.5


def test_one_stalled_batch_moves_the_margin_by_one_step_and_is_forgotten() -> None:
    margin = Margin().learned(late_s=5.0, objective_s=1.0)
    assert margin.margin_s == pytest.approx(0.02, rel=0.02)
    for _ in range(100):
        margin = margin.learned(late_s=-0.1, objective_s=1.0)
    assert margin.margin_s == pytest.approx(0.0, abs=1e-6)


sized_fits = st.builds(ExecutionFit, only_size=st.none(), fixed_s=st.floats(0, 1), per_item_s=st.floats(0, 0.1))


@given(rule=rules, fit=st.none() | sized_fits)
def test_a_batch_holds_at_least_one_item_and_no_more_than_it_may(rule: BatchRule, fit: ExecutionFit | None) -> None:
    assert 1 <= rule.size_for(fit) <= rule.max_size


@given(max_size=st.integers(1, 64), fit=sized_fits, slo_s=st.floats(0.001, 10))
def test_a_batch_is_as_large_as_leaves_part_of_the_objective_for_waiting(
    max_size: int, fit: ExecutionFit, slo_s: float
) -> None:
    size = BatchRule(max_size=max_size, slo_s=slo_s).size_for(fit)
    max_s = 0.6 * slo_s
    if fit.execution_s(1) <= max_s:
        assert fit.execution_s(size) <= max_s + 1e-6
        assert size == max_size or fit.execution_s(size + 1) >= max_s - 1e-6
    else:
        assert size == max_size  # size cannot help: the whole size, for the throughput


@pytest.mark.parametrize(
    ("name", "want", "rule", "fit"),
    [
        ("nothing learned", 16, BatchRule(max_size=16, slo_s=0.030), None),
        ("no objective", 16, BatchRule(max_size=16), FIT),
        ("a size that divides without a rest", 13, BatchRule(max_size=16, slo_s=0.060), ExecutionFit(0.010, 0.002)),
        ("a full batch leaves enough", 16, BatchRule(max_size=16, slo_s=0.044), FIT),
        ("a full batch leaves too little", 15, BatchRule(max_size=16, slo_s=0.043), FIT),
        ("just one item", 1, BatchRule(max_size=16, slo_s=0.0184), FIT),
        ("not even one", 16, BatchRule(max_size=16, slo_s=0.0183), FIT),
        ("items cost nothing", 16, BatchRule(max_size=16, slo_s=0.015), ExecutionFit(fixed_s=0.01, per_item_s=0.0)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_size_of_a_batch_follows_the_objective(
    name: str, want: int, rule: BatchRule, fit: ExecutionFit | None
) -> None:
    assert rule.size_for(fit) == want, name
