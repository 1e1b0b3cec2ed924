"""The ten loads on which `dilu` did worst against the paper's rule, as a search over 1,600 loads found them.

What it loses there is bounded, and stays so: more violations (in percent of the requests), more cold starts, and more
replica time than the paper's rule, each with a margin over what was measured. `benchmarks/adversarial.py` searches.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dilu_simulator.trials.shapes import Shape, duel

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
            high=2.069,
            on_s=6.995,
            off_s=6.36,
            regular_ratio=0.354,
            rise_s=21.893,
            noise=0.247,
            wave=0.749,
            wave_s=829.235,
            seed=511,
        ),
        points=0.77,
        starts=1,
        time_ratio=1.087,
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
        points=6.75,
        starts=1,
        time_ratio=0.963,
    ),
    Case(
        shape=Shape(
            base=1.01,
            high=5.248,
            on_s=8.262,
            off_s=150.0,
            regular_ratio=0.579,
            rise_s=20.182,
            noise=0.5,
            wave=0.674,
            wave_s=186.429,
            seed=284,
        ),
        points=3.61,
        starts=1,
        time_ratio=1.024,
    ),
    Case(
        shape=Shape(
            base=0.578,
            high=1.783,
            on_s=2.875,
            off_s=9.32,
            regular_ratio=0.689,
            rise_s=2.381,
            noise=0.309,
            wave=0.717,
            wave_s=852.992,
            seed=316,
        ),
        points=-0.48,
        starts=1,
        time_ratio=1.106,
    ),
    Case(
        shape=Shape(
            base=0.845,
            high=4.774,
            on_s=9.072,
            off_s=132.147,
            regular_ratio=0.65,
            rise_s=25.72,
            noise=0.323,
            wave=1.0,
            wave_s=230.296,
            seed=32,
        ),
        points=2.64,
        starts=1,
        time_ratio=1.032,
    ),
    Case(
        shape=Shape(
            base=0.128,
            high=1.787,
            on_s=15.858,
            off_s=2.0,
            regular_ratio=0.028,
            rise_s=18.399,
            noise=0.371,
            wave=0.699,
            wave_s=900.0,
            seed=678,
        ),
        points=1.97,
        starts=1,
        time_ratio=1.043,
    ),
    Case(
        shape=Shape(
            base=0.541,
            high=2.149,
            on_s=23.706,
            off_s=126.712,
            regular_ratio=0.169,
            rise_s=7.303,
            noise=0.348,
            wave=0.458,
            wave_s=375.164,
            seed=671,
        ),
        points=2.09,
        starts=1,
        time_ratio=1.04,
    ),
    Case(
        shape=Shape(
            base=0.536,
            high=5.076,
            on_s=12.483,
            off_s=69.388,
            regular_ratio=0.011,
            rise_s=14.848,
            noise=0.309,
            wave=0.474,
            wave_s=468.013,
            seed=749,
        ),
        points=1.43,
        starts=1,
        time_ratio=1.047,
    ),
    Case(
        shape=Shape(
            base=0.593,
            high=3.217,
            on_s=2.0,
            off_s=73.798,
            regular_ratio=0.087,
            rise_s=17.367,
            noise=0.225,
            wave=0.386,
            wave_s=329.219,
            seed=484,
        ),
        points=-0.16,
        starts=1,
        time_ratio=1.058,
    ),
    Case(
        shape=Shape(
            base=0.773,
            high=3.121,
            on_s=57.379,
            off_s=142.339,
            regular_ratio=0.352,
            rise_s=25.03,
            noise=0.274,
            wave=0.983,
            wave_s=569.175,
            seed=891,
        ),
        points=1.38,
        starts=1,
        time_ratio=1.02,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"seed-{case.shape.seed}")
def test_what_is_lost_on_the_worst_loads_is_bounded(case: Case) -> None:
    found = duel(case.shape)
    assert found.violation_points <= case.points + _POINTS_MARGIN
    assert found.more_starts <= case.starts + _STARTS_MARGIN
    assert found.time_ratio <= case.time_ratio + _TIME_MARGIN
