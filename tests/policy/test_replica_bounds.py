"""Least and most replicas, whatever a policy decided."""

from __future__ import annotations

import pytest

from dilu.errors import ConfigError
from dilu.spec import function_spec
from dilu_autoscaler.policy.horizontal import Bounds, Decision, bounded


@pytest.mark.parametrize(
    ("decided", "desired", "result", "reason"),
    [
        pytest.param(3, 3, 3, "load", id="within"),
        pytest.param(2, 3, 2, "load", id="at the minimum"),
        pytest.param(5, 3, 5, "load", id="at the maximum"),
        pytest.param(1, 3, 2, "min-scale 2 instead of 1: load", id="below"),
        pytest.param(6, 3, 5, "max-scale 5 instead of 6: load", id="above"),
        pytest.param(None, 3, None, "load", id="hold within"),
        pytest.param(None, 0, 2, "min-scale 2 instead of 0: load", id="hold below"),
        pytest.param(None, 9, 5, "max-scale 5 instead of 9: load", id="hold above"),
    ],
)
def test_a_decision_is_moved_into_the_bounds(
    decided: int | None, desired: int, result: int | None, reason: str
) -> None:
    decision = bounded(
        Decision(replicas=decided, reason="load", next_change_s=9.0),
        Bounds(min_replicas=2, max_replicas=5),
        desired=desired,
    )
    assert decision == Decision(replicas=result, reason=reason, next_change_s=9.0)


def test_without_bounds_every_number_stands() -> None:
    assert [Bounds().clamp(n) for n in (0, 1, 1_000_000)] == [0, 1, 1_000_000]


def test_a_spec_rejects_a_maximum_below_the_minimum() -> None:
    with pytest.raises(ConfigError, match="max_scale"):
        function_spec("embed", min_scale=3, max_scale=2)
