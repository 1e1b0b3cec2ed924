"""The ten loads on which `dilu` did worst against the paper's rule, as a search over 1,600 loads found them.

What it loses there is bounded, and stays so: more violations (in percent of the requests), more cold starts, and more
replica time than the paper's rule, each with a margin over what was measured. `benchmarks/adversarial.py` searches.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dilu_autoscaler.trials.shapes import Shape, duel

_POINTS_MARGIN, _STARTS_MARGIN, _TIME_MARGIN = 1.5, 1, 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A load, and what was measured on it: ours less the paper's, and our replica time as a part of the paper's."""

    shape: Shape
    points: float
    starts: int
    time_ratio: float


CASES = [
    Case(
        shape=Shape(
            base=0.552,
            high=2.098,
            on_s=6.995,
            off_s=5.381,
            regular_ratio=0.474,
            rise_s=21.893,
            noise=0.134,
            wave=0.531,
            wave_s=829.235,
            seed=511,
        ),
        points=0.39,
        starts=1,
        time_ratio=1.101,
    ),
    Case(
        shape=Shape(
            base=0.953,
            high=4.624,
            on_s=2.0,
            off_s=21.517,
            regular_ratio=0.375,
            rise_s=2.493,
            noise=0.3,
            wave=0.828,
            wave_s=335.473,
            seed=749,
        ),
        points=3.09,
        starts=1,
        time_ratio=1.036,
    ),
    Case(
        shape=Shape(
            base=0.993,
            high=1.798,
            on_s=59.587,
            off_s=108.742,
            regular_ratio=0.318,
            rise_s=19.068,
            noise=0.107,
            wave=0.363,
            wave_s=116.973,
            seed=626,
        ),
        points=6.96,
        starts=1,
        time_ratio=0.956,
    ),
    Case(
        shape=Shape(
            base=1.478,
            high=5.248,
            on_s=8.262,
            off_s=139.424,
            regular_ratio=0.378,
            rise_s=20.182,
            noise=0.43,
            wave=0.707,
            wave_s=322.55,
            seed=284,
        ),
        points=3.94,
        starts=1,
        time_ratio=1.011,
    ),
    Case(
        shape=Shape(
            base=0.0,
            high=1.787,
            on_s=15.858,
            off_s=7.37,
            regular_ratio=0.028,
            rise_s=19.307,
            noise=0.354,
            wave=0.579,
            wave_s=770.323,
            seed=678,
        ),
        points=3.23,
        starts=1,
        time_ratio=1.021,
    ),
    Case(
        shape=Shape(
            base=0.564,
            high=4.222,
            on_s=9.821,
            off_s=88.187,
            regular_ratio=0.087,
            rise_s=10.972,
            noise=0.328,
            wave=0.472,
            wave_s=262.047,
            seed=484,
        ),
        points=1.58,
        starts=1,
        time_ratio=1.045,
    ),
    Case(
        shape=Shape(
            base=0.0,
            high=2.227,
            on_s=23.706,
            off_s=122.566,
            regular_ratio=0.0,
            rise_s=5.425,
            noise=0.353,
            wave=0.021,
            wave_s=325.771,
            seed=671,
        ),
        points=2.3,
        starts=1,
        time_ratio=1.024,
    ),
    Case(
        shape=Shape(
            base=0.835,
            high=2.223,
            on_s=2.875,
            off_s=23.513,
            regular_ratio=0.835,
            rise_s=2.381,
            noise=0.121,
            wave=0.71,
            wave_s=659.828,
            seed=316,
        ),
        points=1.66,
        starts=1,
        time_ratio=1.031,
    ),
    Case(
        shape=Shape(
            base=0.541,
            high=2.089,
            on_s=39.976,
            off_s=150.0,
            regular_ratio=0.215,
            rise_s=25.254,
            noise=0.24,
            wave=0.843,
            wave_s=569.175,
            seed=891,
        ),
        points=2.26,
        starts=1,
        time_ratio=1.016,
    ),
    Case(
        shape=Shape(
            base=0.611,
            high=3.7,
            on_s=16.389,
            off_s=59.588,
            regular_ratio=0.928,
            rise_s=0.5,
            noise=0.058,
            wave=0.288,
            wave_s=325.807,
            seed=13,
        ),
        points=-0.09,
        starts=1,
        time_ratio=1.038,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"seed-{case.shape.seed}")
def test_what_is_lost_on_the_worst_loads_is_bounded(case: Case) -> None:
    found = duel(case.shape)
    assert found.violation_points <= case.points + _POINTS_MARGIN
    assert found.more_starts <= case.starts + _STARTS_MARGIN
    assert found.time_ratio <= case.time_ratio + _TIME_MARGIN
