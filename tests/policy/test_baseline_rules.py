"""The baselines beside KPA and the paper's rule: eager, INFless, HPA, Ray Serve."""

from __future__ import annotations

import pytest

from dilu.errors import ConfigError
from dilu_autoscaler.policy.horizontal import POLICIES, Observation
from dilu_autoscaler.policy.horizontal.demand import replicas_for
from dilu_autoscaler.policy.horizontal.dilu.settings import CoscaleSpec
from dilu_autoscaler.policy.horizontal.eager import EagerSpec
from dilu_autoscaler.policy.horizontal.hpa import HpaSpec
from dilu_autoscaler.policy.horizontal.infless import InflessSpec
from dilu_autoscaler.policy.horizontal.ray_serve import RayServeSpec
from policy.replayed_seconds import decisions_on, replicas_on

EAGER = EagerSpec(rps_limit=50.0)
INFLESS = InflessSpec(rps_limit=50.0, batch=5, slo_s=0.3)
HPA = HpaSpec(rps_limit=100.0)
RAY = RayServeSpec()


def test_a_rounding_error_above_a_whole_number_of_replicas_needs_no_further_one() -> None:
    assert replicas_for(3 * 0.1, 0.1) == 3
    assert replicas_for(0.31, 0.1) == 4


def test_eager_goes_out_at_once_by_what_is_needed() -> None:
    assert replicas_on("eager", EAGER, [40, 201]) == [1, 5]


def test_eager_goes_in_at_the_sixteenth_second_in_a_row_and_not_at_the_fifteenth() -> None:
    assert replicas_on("eager", EAGER, [40.0] * 16, replicas=3) == [3] * 15 + [1]
    assert replicas_on("eager", EAGER, [40.0] * 15 + [101.0] + [40.0] * 15, replicas=3) == [3] * 31


def test_eager_says_how_long_it_still_waits() -> None:
    decision = decisions_on("eager", EAGER, [40.0] * 3, replicas=2)[-1]
    assert decision.reason == "1 for 40 rps at 50.0 per replica; 2 kept: fewer needed for 3 s, limit 15 s"
    assert decision.next_change_s == 16.0


def test_eager_lets_the_last_replica_go_after_its_keep_alive() -> None:
    assert replicas_on("eager", EAGER, [1.0] + [0.0] * 16) == [1] * 16 + [0]


def test_infless_keeps_what_is_between_its_two_rates_and_adds_for_the_rest() -> None:
    # r_up = 50; r_low = 5 / (0.3 - 0.1) = 25; down below 25 + 0.8 x 25 = 45 a replica.
    assert replicas_on("infless", INFLESS, [91.0] * 60, replicas=2) == [2] * 60
    assert replicas_on("infless", INFLESS, [101.0], replicas=2) == [3]
    assert replicas_on("infless", INFLESS, [89.0] * 7, replicas=3)[-2:] == [3, 2]


def test_infless_keeps_a_replica_as_long_as_its_gaps_have_lasted() -> None:
    bursts = ([140.0] * 5 + [40.0] * 10) * 6
    numbers = replicas_on("infless", INFLESS, bursts)
    # The first gaps find no replica after 6 s; then the gaps of 10 s are known, and it is kept through them.
    assert numbers[:15] == [3] * 11 + [1] * 4
    assert numbers[-30:] == [3] * 30


def test_hpa_decides_every_fifteenth_second_within_its_tolerance() -> None:
    assert replicas_on("hpa", HPA, [140.0] * 15) == [1] * 14 + [2]
    assert replicas_on("hpa", HPA, [76.0] * 30) == [1] * 30
    assert replicas_on("hpa", HPA, [78.0] * 15)[-1] == 2


def test_hpa_goes_up_by_four_or_twofold_in_one_step() -> None:
    assert replicas_on("hpa", HPA, [7000.0] * 45)[14::15] == [5, 10, 20]


def test_hpa_goes_down_to_the_highest_number_of_the_last_five_minutes() -> None:
    numbers = replicas_on("hpa", HPA, [200.0] * 15 + [100.0] * 15 + [60.0] * 400, replicas=3)
    assert numbers[:15] == [3] * 15
    assert (numbers[313], numbers[314]) == (3, 2)
    assert (numbers[328], numbers[329]) == (2, 1)


def test_hpa_leaves_the_last_replica_to_keda() -> None:
    numbers = replicas_on("hpa", HPA, [1.0] + [0.0] * 320)
    assert numbers[299] == 1
    assert numbers[-1] == 0


def test_ray_serve_wants_more_for_thirty_seconds_before_it_starts_one() -> None:
    assert replicas_on("ray-serve", RAY, [60.0] * 31) == [1] * 30 + [2]


def test_ray_serve_wants_fewer_for_ten_minutes_before_it_stops_one() -> None:
    numbers = replicas_on("ray-serve", RAY, [30.0] * 602, replicas=3)
    assert (numbers[599], numbers[600]) == (3, 1)


@pytest.mark.parametrize(
    ("policy", "settings"),
    [("dilu", CoscaleSpec()), ("eager", EagerSpec()), ("hpa", HpaSpec()), ("infless", InflessSpec())],
)
def test_an_unknown_throughput_holds_but_for_the_first_replica_of_who_waits(policy: str, settings: object) -> None:
    rule = POLICIES[policy]
    seen = Observation(ready=0, desired=0, waiting=2)
    decision, _ = rule.decide(settings, seen, rule.initial_state(settings, seen, 1.0), 1.0)
    assert (decision.replicas, decision.reason) == (1, "from zero: 2 waiting")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EagerSpec(rps_limit=0.0), "rps-limit = 0.0, must be > 0"),
        (lambda: EagerSpec(keep_alive_s=-1), "keep-alive = -1 s, must be >= 0"),
        (lambda: HpaSpec(tolerance_ratio=float("nan")), "tolerance = nan, must be >= 0"),
        (lambda: InflessSpec(gamma_ratio=2.0), "gamma = 2.0, keep ratio = 0.8, must both be 0 to 1"),
        (lambda: RayServeSpec(upscale_delay_s=-1), "upscale delay = -1 s, must be >= 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ConfigError, match=message):
        make()
