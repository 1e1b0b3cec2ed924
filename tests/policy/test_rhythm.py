"""A period in the load: found where there is one, and only there."""

from __future__ import annotations

import math
from random import Random

import pytest

from dilu_autoscaler.policy.horizontal.dilu.periodicity import (
    FIRST_STEP_S,
    HISTORY,
    LAGS,
    NO_RHYTHM,
    Rhythm,
    expected_rps,
    rhythm_after,
)

CORRELATION = 0.62


def rhythm_of(load: list[float]) -> Rhythm:
    rhythm = NO_RHYTHM
    for rps in load:
        rhythm = rhythm_after(rhythm, rps, CORRELATION)
    return rhythm


@pytest.mark.parametrize("period_s", [60, 96, 144, 200])
def test_a_period_is_found_after_a_few_times_and_says_what_comes(period_s: int) -> None:
    load = [100.0 if second % period_s < period_s // 4 else 10.0 for second in range(5 * period_s)]
    rhythm = rhythm_of(load)
    assert rhythm.period * rhythm.step_s == pytest.approx(period_s, abs=FIRST_STEP_S)
    # The load ends with a period, so the next one begins right now.
    assert max(expected_rps(rhythm, 0, period_s // 8)) == 100.0
    assert max(expected_rps(rhythm, period_s // 2, period_s // 2 + 8)) == 10.0


@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_has_no_period(seed: int) -> None:
    rng = Random(seed)
    assert rhythm_of([rng.uniform(0, 100) for _ in range(900)]).period == 0
    assert expected_rps(rhythm_of([rng.uniform(0, 100) for _ in range(900)]), 0, 60) == []


@pytest.mark.parametrize("rps", [0.0, 50.0])
def test_a_load_that_never_changes_has_none(rps: float) -> None:
    assert rhythm_of([rps] * 2000).period == 0


def test_of_two_periods_the_lower_load_is_expected() -> None:
    period_s = 80
    load = [(130.0 if second >= 4 * period_s else 100.0) * (second % period_s < 20) for second in range(5 * period_s)]
    assert max(expected_rps(rhythm_of(load), 0, 15)) == 100.0


def test_what_is_remembered_has_a_bound_and_longer_periods_are_found_in_longer_steps() -> None:
    day_s = 1200
    load = [50.0 - 50.0 * math.cos(math.tau * second / day_s) for second in range(6 * day_s)]
    rhythm = rhythm_of(load)
    assert len(rhythm.steps_rps) <= HISTORY
    assert len(rhythm.products) <= LAGS + 1
    assert rhythm.step_s > FIRST_STEP_S
    assert rhythm.period * rhythm.step_s == pytest.approx(day_s, rel=0.1)
