"""What ends in the very microsecond in which something else on its GPU changes has ended all the same."""

from __future__ import annotations

import math

import pytest

from dilu_simulator.run import run_scenario
from dilu_simulator.scenario import read_preset


@pytest.mark.parametrize("seed", range(1000, 1006))
def test_no_request_is_left_waiting_for_a_batch_that_was_done(seed: int) -> None:
    results = run_scenario(read_preset("shared-gpu"), vertical="dilu", seed=seed)
    assert [one.name for one in results.functions if one.unanswered] == []
    assert all(math.isfinite(one.slo_violation_ratio) for one in results.functions)
