import math
import pickle
from typing import Any

import pytest

from dilu.errors import ConfigError
from dilu.spec import ColdStart, ExecPoint, FunctionSpec, Kind, Profile, function_spec


def profile(**changes: Any) -> Profile:
    values: dict[str, Any] = {
        "kind": Kind.INFERENCE,
        "batch": 16,
        "sm_request": 300,
        "sm_limit": 600,
        "memory_mib": 2048,
        "rps_request": 100,
        "rps_limit": 180.5,
        "slo_ms": 60,
    }
    return Profile(**(values | changes))


def test_a_profile_fills_what_the_spec_leaves_unset() -> None:
    filled = profile().apply_to(function_spec("embed", batch=8, max_scale=3))
    assert filled == function_spec(
        "embed",
        batch=8,
        max_scale=3,
        slo_ms=60,
        sm_request=300,
        sm_limit=600,
        gpu_memory=2048,
        rps_request=100,
        rps_limit=180.5,
    )


def test_what_the_spec_says_stays() -> None:
    full = function_spec("embed", batch=8, slo_ms=9, sm_request=1, sm_limit=2, gpu_memory=3, rps_request=4, rps_limit=5)
    assert profile().apply_to(full) == full


def test_the_batch_is_never_filled_as_unset_says_one_item_a_call() -> None:
    assert profile(batch=16).apply_to(FunctionSpec(name="embed")).batch is None


def test_a_partial_profile_fills_what_it_has() -> None:
    filled = profile(memory_mib=None, slo_ms=None).apply_to(FunctionSpec(name="embed"))
    assert (filled.gpu_memory_mib, filled.slo, filled.sm_request) == (None, None, 300)


def test_a_profile_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="function embed: is of kind training, but its profile is of kind inference"):
        profile().apply_to(function_spec("embed", kind="training"))


def test_a_profile_that_contradicts_the_spec_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        profile().apply_to(function_spec("embed", sm_request=700))
    assert str(caught.value) == "function embed with its profile: sm_limit = 600, must be at least the request, 700"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "x"}, "kind = 'x', must be one of"),
        ({"batch": 0}, "batch = 0, must be a whole number from 1"),
        ({"batch": None}, "batch = None, must be a whole number from 1"),
        ({"sm_request": 0}, "sm_request = 0, must be a whole number of milli-GPU"),
        ({"sm_limit": 1001}, "sm_limit = 1001, must be a whole number of milli-GPU"),
        ({"sm_limit": 299}, "sm_limit = 299, must be at least the request, 300"),
        ({"rps_request": math.nan}, "rps_request = nan, must be a number above 0"),
        ({"rps_limit": 99.9}, "rps_limit = 99.9, must be at least the request, 100"),
        ({"memory_mib": "2Gi"}, "memory_mib = '2Gi', must be a whole number of MiB"),
        ({"slo_ms": -1}, "slo_ms = -1, must be a number above 0"),
        ({"trials": 0}, "trials = 0, must be a whole number from 1"),
        ({"exec_ms": 3}, "exec_ms = 3, must be a sequence of ExecPoint"),
        ({"exec_ms": [1]}, "must be a sequence of ExecPoint"),
        ({"cold_start_ms": 3}, "cold_start_ms = 3, must be a ColdStart or None"),
        ({"machine": 3}, "machine = 3, must be a mapping of texts to texts"),
        ({"machine": {3: "a"}}, "machine = 3, must be a text"),
        ({"versions": {"torch": 2.1}}, "versions.torch = 2.1, must be a text"),
        ({"versions": {"torch": "\0"}}, "versions.torch = .*, must be Unicode text without NUL"),
        ({"versions": {"torch": "\ud800"}}, "versions.torch = .*, must be Unicode text without NUL"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        profile(**changes)


def test_the_curve_is_sorted_by_batch_then_share() -> None:
    points = [ExecPoint(batch=batch, sm_milli=sm, ms=1) for batch, sm in [(2, 100), (1, 200), (1, 100), (2, 50)]]
    curve = profile(exec_ms=points).exec_ms
    assert [(point.batch, point.sm_milli) for point in curve] == [(1, 100), (1, 200), (2, 50), (2, 100)]


def test_one_point_cannot_be_measured_twice() -> None:
    points = [ExecPoint(batch=1, sm_milli=100, ms=ms) for ms in (1, 2)]
    with pytest.raises(ConfigError, match="exec_ms: holds batch 1 at 100 milli-GPU twice"):
        profile(exec_ms=points)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"batch": 0, "sm_milli": 1, "ms": 1}, "batch = 0"),
        ({"batch": 1, "sm_milli": 1001, "ms": 1}, "sm_milli = 1001"),
        ({"batch": 1, "sm_milli": 1, "ms": 0}, "ms = 0, must be a number above 0"),
    ],
)
def test_a_point_that_cannot_be_is_refused(point: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ExecPoint(**point)


def test_a_cold_start_is_the_sum_of_its_phases() -> None:
    assert ColdStart(process_ms=0, import_ms=2500, load_ms=800.5, warmup_ms=90).total_ms == 3390.5
    with pytest.raises(ConfigError, match="load_ms = -1, must be a number of at least 0"):
        ColdStart(process_ms=0, import_ms=0, load_ms=-1, warmup_ms=0)


def test_a_profile_is_hashable_and_travels_between_processes() -> None:
    made = profile(machine={"gpu": "A100"}, exec_ms=[ExecPoint(batch=1, sm_milli=100, ms=3)])
    assert hash(made) == hash(profile(machine={"gpu": "A100"}, exec_ms=[ExecPoint(batch=1, sm_milli=100, ms=3)]))
    assert pickle.loads(pickle.dumps(made)) == made
