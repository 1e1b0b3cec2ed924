import dataclasses
import math
import pickle
from typing import Any

import pytest

from dilu.errors import ConfigError
from dilu.spec import FieldError, FunctionSpec, Kind, Slo, from_mapping, function_spec, merge, to_mapping


def test_a_spec_with_a_name_only_has_the_defaults() -> None:
    spec = function_spec("embed")
    assert spec == FunctionSpec(name="embed")
    assert (spec.kind, spec.gpus, spec.max_stages, spec.min_scale) == (Kind.INFERENCE, 1, 1, 0)
    assert (spec.slo, spec.slo_ms, spec.batch, spec.sm_request, spec.max_scale) == (None, None, None, None, None)


def test_the_decorators_keywords_become_fields() -> None:
    spec = function_spec(
        "embed",
        kind="llm-inference",
        slo_ms=60,
        batch=16,
        sm_request=300,
        sm_limit=600,
        gpu_memory="2Gi",
        gpus=2,
        rps_request=12.5,
        rps_limit=25,
        affinity_group="team-a",
        max_stages=4,
        min_scale=1,
        max_scale=4,
    )
    assert spec == FunctionSpec(
        name="embed",
        kind=Kind.LLM_INFERENCE,
        slo=Slo(latency_ms=60.0),
        batch=16,
        sm_request=300,
        sm_limit=600,
        gpu_memory_mib=2048,
        gpus=2,
        rps_request=12.5,
        rps_limit=25.0,
        affinity_group="team-a",
        max_stages=4,
        min_scale=1,
        max_scale=4,
    )
    assert isinstance(spec.rps_limit, float)
    assert spec.slo_ms == 60.0


def test_a_spec_is_frozen_hashable_and_travels_between_processes() -> None:
    spec = function_spec("embed", slo_ms=60, batch=16)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.batch = 3  # type: ignore[misc]  # what is tested
    assert hash(spec) == hash(function_spec("embed", slo_ms=60.0, batch=16))
    assert pickle.loads(pickle.dumps(spec)) == spec


# Every key: what is just within the rule, and what is just outside of it.
WITHIN: list[tuple[str, Any]] = [
    ("kind", "inference"),
    ("kind", "llm-inference"),
    ("kind", Kind.TRAINING),
    ("slo_ms", 1e-9),
    ("slo_ms", 5e-324),
    ("slo_ms", 1.7e308),
    ("batch", 1),
    ("batch", 2**31 - 1),
    ("sm_request", 1),
    ("sm_request", 1000),
    ("sm_limit", 1),
    ("sm_limit", 1000),
    ("gpu_memory", "1Mi"),
    ("gpu_memory", 1),
    ("gpu_memory", "4Ti"),
    ("gpus", 1),
    ("gpus", 8),
    ("rps_request", 1e-9),
    ("rps_limit", 1e-9),
    ("affinity_group", "a"),
    ("affinity_group", "a" * 63),
    ("max_stages", 1),
    ("max_stages", 8),
    ("min_scale", 0),
    ("min_scale", 2**31 - 1),
    ("max_scale", 1),
    ("max_scale", 2**31 - 1),
]
_NUMBER = "must be a number above 0"
_GPU = "must be a whole number of milli-GPU from 1 to 1000"
OUTSIDE: list[tuple[str, Any, str]] = [
    ("kind", "Inference", "must be one of inference, llm-inference, training"),
    ("kind", "", "must be one of"),
    ("kind", 1, "must be one of"),
    ("kind", None, "must be one of"),
    ("kind", ["inference"], "must be one of"),
    ("slo_ms", 0, _NUMBER),
    ("slo_ms", -1, _NUMBER),
    ("slo_ms", math.nan, _NUMBER),
    ("slo_ms", math.inf, _NUMBER),
    ("slo_ms", "60", _NUMBER),
    ("slo_ms", "60ms", _NUMBER),
    ("slo_ms", True, _NUMBER),
    ("slo_ms", 10**400, _NUMBER),
    ("batch", 0, "must be a whole number from 1 to 2147483647"),
    ("batch", 2**31, "must be a whole number from 1"),
    ("batch", True, "must be a whole number from 1"),
    ("batch", 16.0, "must be a whole number from 1"),
    ("batch", "16", "must be a whole number from 1"),
    ("sm_request", 0, _GPU),
    ("sm_request", 1001, _GPU),
    ("sm_request", 0.3, _GPU),
    ("sm_request", True, _GPU),
    ("sm_limit", 0, _GPU),
    ("sm_limit", 1001, _GPU),
    ("sm_limit", math.nan, _GPU),
    ("gpu_memory", 0, "must be a whole number of MiB"),
    ("gpu_memory", "0Mi", "must be from 1Mi to 4Ti"),
    ("gpu_memory", "2", "needs a unit"),
    ("gpu_memory", "2GB", "must be a quantity"),
    ("gpu_memory", True, "must be a whole number of MiB"),
    ("gpu_memory", 1.5, "must be a quantity"),
    ("gpus", 0, "must be a whole number from 1 to 8"),
    ("gpus", 9, "must be a whole number from 1 to 8"),
    ("gpus", None, "must be a whole number from 1 to 8"),
    ("rps_request", 0.0, _NUMBER),
    ("rps_request", math.nan, _NUMBER),
    ("rps_limit", -0.0, _NUMBER),
    ("rps_limit", math.inf, _NUMBER),
    ("affinity_group", "", "must be 1 to 63 of a-z, 0-9 and -"),
    ("affinity_group", "a" * 64, "must be 1 to 63"),
    ("affinity_group", "Team", "must be 1 to 63"),
    ("affinity_group", 5, "must be 1 to 63"),
    ("max_stages", 0, "must be a whole number from 1 to 8"),
    ("max_stages", 9, "must be a whole number from 1 to 8"),
    ("min_scale", -1, "must be a whole number from 0"),
    ("min_scale", 2**31, "must be a whole number from 0"),
    ("min_scale", None, "must be a whole number from 0"),
    ("max_scale", 0, "must be a whole number from 1"),
    ("max_scale", 2**31, "must be a whole number from 1"),
]


@pytest.mark.parametrize(("key", "value"), WITHIN)
def test_a_value_within_the_rule_is_taken(key: str, value: Any) -> None:
    spec = from_mapping({"name": "embed", key: value})
    assert spec == from_mapping(to_mapping(spec))
    assert spec != FunctionSpec(name="embed") or (key, value) in {
        ("kind", "inference"),
        ("gpus", 1),
        ("max_stages", 1),
        ("min_scale", 0),
    }


@pytest.mark.parametrize(("key", "value", "rule"), OUTSIDE)
def test_a_value_outside_the_rule_is_refused_with_key_value_and_rule(key: str, value: Any, rule: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping({"name": "embed", key: value})
    message = str(caught.value)
    assert message.startswith(f"function embed: {key} = ")
    assert rule in message
    assert "\n" not in message
    assert len(message) < 250


def test_values_and_keys_too_long_to_print_are_refused_in_a_short_line() -> None:
    for options in ({"batch": 10**5000}, {"slo_ms": 10**5000}, {"kind": "x" * 10_000}, {"x" * 100_000: 1}):
        with pytest.raises(ConfigError) as caught:
            from_mapping({"name": "embed", **options})
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a--b", "3d", "a" * 63])
def test_a_label_is_a_name(name: str) -> None:
    assert function_spec(name).name == name


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "A", "a_b", "a.b", "a b", "ä", "a\n", "a" * 64, "a/b", "٣", None, 3, True, b"a"]
)
def test_what_is_no_label_is_no_name(name: Any) -> None:
    with pytest.raises(ConfigError, match=r"function: name = .*, must be 1 to 63 of a-z, 0-9 and -"):
        function_spec(name)
    with pytest.raises(ConfigError, match="must be 1 to 63"):
        FunctionSpec(name=name)


@pytest.mark.parametrize("pair", [("sm_request", "sm_limit"), ("rps_request", "rps_limit"), ("min_scale", "max_scale")])
def test_a_limit_may_equal_its_request_but_not_lie_below(pair: tuple[str, str]) -> None:
    low, high = pair
    assert from_mapping({"name": "f", low: 300, high: 300}) == from_mapping({"name": "f", high: 300, low: 300})
    with pytest.raises(FieldError) as caught:
        from_mapping({"name": "f", low: 300, high: 299})
    word = "minimum" if low == "min_scale" else "request"
    seen = "299" if low != "rps_request" else "299.0"
    assert str(caught.value) == f"function f: {high} = {seen}, must be at least the {word}, 300"
    assert (caught.value.key, caught.value.other_key) == (high, low)


@pytest.mark.parametrize("key", ["sm_limit", "rps_limit", "max_scale", "sm_request", "rps_request", "min_scale"])
def test_a_limit_or_a_request_may_stand_alone(key: str) -> None:
    assert to_mapping(from_mapping({"name": "f", key: 5}))[key] == 5


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("sm_requst", "did you mean sm_request?"),
        ("slo", "did you mean slo_ms?"),
        ("gpu_mem", "did you mean gpu_memory?"),
        ("maxscale", "did you mean max_scale?"),
        ("gpu_memory_mib", "did you mean gpu_memory?"),
        ("zzz", "known keys are name, kind, slo_ms"),
        ("two\nlines", "known keys are"),
    ],
)
def test_an_unknown_keyword_names_the_nearest_known_one(key: str, hint: str) -> None:
    options: dict[str, Any] = {key: 1}
    with pytest.raises(ConfigError) as caught:
        function_spec("embed", **options)
    message = str(caught.value)
    assert message.startswith("function embed: ")
    assert f": unknown key; {hint}" in message
    assert "\n" not in message
    assert len(message) < 400


def test_a_field_built_directly_is_checked_as_well() -> None:
    with pytest.raises(ConfigError, match="gpu_memory_mib = 0, must be a whole number of MiB"):
        FunctionSpec(name="f", gpu_memory_mib=0)
    with pytest.raises(ConfigError, match=r"slo = 60, must be a Slo or None"):
        FunctionSpec(name="f", slo=60)  # type: ignore[arg-type]  # what is tested
    with pytest.raises(ConfigError, match="latency_ms = nan, must be a number above 0"):
        Slo(latency_ms=math.nan)


def test_overrides_replace_and_none_unsets() -> None:
    spec = function_spec("embed", slo_ms=60, batch=16, max_scale=4, gpu_memory="2Gi")
    merged = merge(spec, {"name": "other", "slo_ms": 80, "max_scale": None, "gpu_memory": "512Mi"})
    assert merged == function_spec("other", slo_ms=80, batch=16, gpu_memory=512)
    assert merge(spec, {}) == spec


def test_an_override_that_contradicts_the_decorator_is_refused() -> None:
    spec = function_spec("embed", sm_request=300, sm_limit=600)
    with pytest.raises(ConfigError, match=r"function embed: sm_limit = 600, must be at least the request, 700"):
        merge(spec, {"sm_request": 700})
    assert merge(spec, {"sm_request": 700, "sm_limit": 700}).sm_limit == 700


def test_a_mapping_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^function: name: is required$"):
        from_mapping({"batch": 3})


def test_whole_numbers_are_written_without_a_point() -> None:
    mapping = to_mapping(function_spec("f", slo_ms=60, rps_request=12.5, rps_limit=2.0**60))
    assert [repr(mapping[key]) for key in ("slo_ms", "rps_request", "rps_limit")] == ["60", "12.5", repr(2.0**60)]
