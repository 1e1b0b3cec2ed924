"""For how long to keep what is not needed, from how long it was not needed before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.policy.horizontal.dilu.gap_histogram import EDGES_S, NO_GAPS, assumed_gaps, best_keep_s, gaps_with

ASSUMED = assumed_gaps(43.0, 1.185, 7.4)
gaps = st.lists(st.floats(min_value=0.01, max_value=100), min_size=len(NO_GAPS), max_size=len(NO_GAPS)).map(tuple)
prices = st.floats(min_value=0.01, max_value=100)


def test_gaps_of_one_length_are_kept_through_where_that_is_cheaper_than_to_return() -> None:
    seen = NO_GAPS
    for _ in range(20):
        seen = gaps_with(seen, 18.0, 0.95)
    assert best_keep_s(seen, second_price=0.5, return_price=20.0) == 20
    assert best_keep_s(seen, second_price=2.0, return_price=20.0) == 2


def test_what_was_seen_outweighs_what_was_assumed() -> None:
    seen = ASSUMED
    for _ in range(30):
        seen = gaps_with(seen, 300.0, 0.95)
    assert best_keep_s(seen, second_price=0.3, return_price=20.0) == 2
    assert best_keep_s(ASSUMED, second_price=0.3, return_price=20.0) > 2


def test_the_weight_of_what_is_remembered_has_a_bound() -> None:
    seen = ASSUMED
    for length in range(1000):
        seen = gaps_with(seen, float(length % 150), 0.95)
    assert sum(seen) <= 1 / 0.05 + 1
    assert len(seen) == len(EDGES_S) + 1


@given(gaps=gaps, second=prices, back=prices, dearer=st.floats(min_value=1, max_value=10))
def test_the_dearer_a_return_the_longer_and_the_dearer_a_second_the_shorter(
    gaps: tuple[float, ...], second: float, back: float, dearer: float
) -> None:
    keep_s = best_keep_s(gaps, second_price=second, return_price=back)
    assert best_keep_s(gaps, second_price=second, return_price=back * dearer) >= keep_s
    assert best_keep_s(gaps, second_price=second * dearer, return_price=back) <= keep_s
