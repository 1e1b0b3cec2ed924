"""How requests ended at the gateway, and how answers are summed up."""

from __future__ import annotations

from dilu_autoscaler.local.traffic import Outcomes


def test_errors_miss_the_objective() -> None:
    outcomes = Outcomes(slo_ms=100.0)
    for latency_s in (0.05, 0.1, 0.2):
        outcomes.answered(1.0, latency_s)
    outcomes.failed()
    assert (outcomes.requests, outcomes.errors) == (4, 1)
    assert outcomes.slo_attainment == 0.5


def test_clients_mistakes_are_requests_that_the_objective_leaves_out() -> None:
    outcomes = Outcomes(slo_ms=100.0)
    outcomes.answered(1.0, 0.2)
    outcomes.rejected()
    assert (outcomes.requests, outcomes.errors, outcomes.slo_attainment) == (2, 0, 0.0)
    assert outcomes.percentiles_ms(1.0) == (200.0, 200.0)


def test_a_client_that_gave_up_missed_the_objective_only_if_it_was_late_by_then() -> None:
    outcomes = Outcomes(slo_ms=100.0)
    attainments = []
    for latency_s in (0.1, 0.11):
        outcomes.gave_up(latency_s)
        attainments.append(outcomes.slo_attainment)
    assert attainments == [None, 0.0]
    assert (outcomes.requests, outcomes.abandoned, outcomes.errors) == (2, 2, 0)


def test_without_an_objective_or_a_request_there_is_no_attainment() -> None:
    assert Outcomes(slo_ms=100.0).slo_attainment is None
    outcomes = Outcomes(slo_ms=None)
    outcomes.answered(1.0, 0.05)
    assert outcomes.slo_attainment is None


def test_percentiles_are_of_the_last_half_minute() -> None:
    outcomes = Outcomes(slo_ms=None)
    outcomes.answered(0.0, 9.0)
    for number in range(1, 101):
        outcomes.answered(50.0, number / 1000.0)
    assert outcomes.percentiles_ms(60.0) == (50.0, 95.0)
    assert outcomes.percentiles_ms(81.0) is None
