"""When a batch closes, and what is learned of its execution time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.batching import BatchRule, ExecutionFit, ExecutionModel, batch_wait_s

FIT = ExecutionFit(fixed_s=0.020, per_item_s=0.001)
RULE = BatchRule(max_size=8, slo_s=0.1)


def wait_s(
    rule: BatchRule = RULE, *, queued: int = 2, oldest: float = 0.0, rps: float = 200.0, fit: ExecutionFit | None = FIT
) -> float:
    return batch_wait_s(rule, queued=queued, oldest_wait_s=oldest, arrival_rps=rps, fit=fit)


@pytest.mark.parametrize(
    ("name", "want_s", "got_s"),
    [
        ("a full batch closes", 0.0, wait_s(queued=8)),
        ("one short of full waits for the fixed part", 0.020, wait_s(queued=7)),
        ("time already waited counts", 0.005, wait_s(oldest=0.015)),
        ("nothing is left after the gain", 0.0, wait_s(oldest=0.021)),
        ("nothing learned, no waiting", 0.0, wait_s(fit=None)),
        ("just under one companion expected", 0.0, wait_s(rps=49.9)),
        ("one companion expected", 0.020, wait_s(rps=50.1)),
        ("the objective bounds the wait", 0.002, wait_s(BatchRule(max_size=8, slo_s=0.030))),
        ("an objective shorter than the batch leaves no wait", 0.0, wait_s(BatchRule(max_size=8, slo_s=0.010))),
        ("without an objective the gain alone bounds it", 0.020, wait_s(BatchRule(max_size=8))),
        ("a cap shortens what is learned", 0.005, wait_s(BatchRule(max_size=8, max_wait_s=0.005))),
        ("a cap above what is learned changes nothing", 0.020, wait_s(BatchRule(max_size=8, max_wait_s=0.05))),
        ("a cap of nothing turns waiting off", 0.0, wait_s(BatchRule(max_size=8, max_wait_s=0.0))),
        ("a cap makes no wait before anything is learned", 0.0, wait_s(BatchRule(max_size=8, max_wait_s=9), fit=None)),
        ("a cap makes no wait for a lone caller", 0.0, wait_s(BatchRule(max_size=8, max_wait_s=9), queued=1, rps=0)),
        ("no arrival is expected within the cap", 0.0, wait_s(BatchRule(max_size=8, max_wait_s=0.004))),
        (
            "time already waited counts against a cap",
            0.004,
            wait_s(BatchRule(max_size=8, max_wait_s=0.01), oldest=0.006),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_open_batch_waits(name: str, want_s: float, got_s: float) -> None:
    assert got_s == pytest.approx(want_s), name


@given(
    queued=st.integers(1, 64),
    oldest=st.floats(0, 10),
    rps=st.floats(0, 1e6),
    fixed=st.floats(0, 1),
    per_item=st.floats(0, 1),
    slo=st.floats(0.001, 10),
)
def test_no_wait_makes_the_oldest_request_miss_its_objective(
    queued: int, oldest: float, rps: float, fixed: float, per_item: float, slo: float
) -> None:
    fit = ExecutionFit(fixed_s=fixed, per_item_s=per_item)
    rule = BatchRule(max_size=32, slo_s=slo)
    wait = batch_wait_s(rule, queued=queued, oldest_wait_s=oldest, arrival_rps=rps, fit=fit)
    assert wait >= 0.0
    assert wait == 0.0 or oldest + wait + fit.execution_s(rule.size_for(fit)) <= slo + 1e-9


def learned(*batches: tuple[int, float]) -> ExecutionFit | None:
    model = ExecutionModel()
    for size, seconds in batches:
        model = model.learned(size, seconds)
    return model.fit()


def test_nothing_is_claimed_before_the_first_batch() -> None:
    assert ExecutionModel().fit() is None


def test_a_line_is_found_exactly() -> None:
    fit = learned((1, 0.011), (4, 0.014), (8, 0.018), (16, 0.026))
    assert fit is not None
    assert fit.fixed_s == pytest.approx(0.010)
    assert fit.per_item_s == pytest.approx(0.001)
    assert fit.capacity_rps(16) == pytest.approx(16 / 0.026)


def test_one_batch_size_claims_no_gain_from_batching() -> None:
    fit = learned(*[(4, 0.020)] * 5)
    assert fit is not None
    assert fit.fixed_s == 0.0
    assert fit.capacity_rps(8) == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("batches", "fixed_s"), [([(1, 0.02), (8, 0.01)], None), ([(1, 0.001), (8, 0.1)], 0.0)], ids=["falling", "steep"]
)
def test_costs_are_never_negative(batches: list[tuple[int, float]], fixed_s: float | None) -> None:
    fit = learned(*batches)
    assert fit is not None
    assert fit.per_item_s >= 0.0
    assert fit.fixed_s >= 0.0
    assert fixed_s is None or fit.fixed_s == fixed_s


def test_old_batches_are_forgotten_when_the_share_changes() -> None:
    fit = learned(*[(1, 0.010), (8, 0.010)] * 50, *[(1, 0.040), (8, 0.040)] * 150)
    assert fit is not None
    assert fit.fixed_s == pytest.approx(0.040, rel=0.01)


def test_work_without_measurable_time_has_no_stated_capacity() -> None:
    fit = learned((1, 0.0))
    assert fit is not None
    assert fit.capacity_rps(1) is None


@given(queued=st.integers(1, 31), oldest=st.floats(0, 1), rps=st.floats(0, 1e6), cap=st.floats(0, 10))
def test_a_cap_never_lengthens_a_wait(queued: int, oldest: float, rps: float, cap: float) -> None:
    waits = [
        batch_wait_s(
            BatchRule(max_size=32, max_wait_s=max_wait_s), queued=queued, oldest_wait_s=oldest, arrival_rps=rps, fit=FIT
        )
        for max_wait_s in (cap, None)
    ]
    assert waits[0] <= min(waits[1], cap)
