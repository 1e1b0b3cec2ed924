import pytest

from dilu.errors import ConfigError
from dilu.spec import FunctionSpec, Kind, from_annotations, function_spec, names, to_annotations

FULL = {
    "dilu.dev/kind": "llm-inference",
    "dilu.dev/slo-ms": "60",
    "dilu.dev/batch": "16",
    "dilu.dev/sm-request": "300",
    "dilu.dev/sm-limit": "600",
    "dilu.dev/gpu-memory": "6Gi",
    "dilu.dev/gpus": "2",
    "dilu.dev/rps-request": "12.5",
    "dilu.dev/rps-limit": "25",
    "dilu.dev/affinity-group": "team-a",
    "dilu.dev/max-stages": "4",
    "autoscaling.knative.dev/min-scale": "1",
    "autoscaling.knative.dev/max-scale": "4",
}


def test_every_field_is_written_and_read_back() -> None:
    spec = from_annotations("embed", FULL)
    assert (spec.kind, spec.slo_ms, spec.gpu_memory_mib, spec.max_scale) == (Kind.LLM_INFERENCE, 60.0, 6144, 4)
    assert to_annotations(spec) == FULL


def test_defaults_are_left_to_the_platform() -> None:
    assert to_annotations(FunctionSpec(name="f")) == {"dilu.dev/kind": "inference"}
    assert from_annotations("f", {}) == FunctionSpec(name="f")


def test_a_memory_without_unit_is_bytes_as_everywhere_in_kubernetes() -> None:
    assert from_annotations("f", {names.GPU_MEMORY: "2147483648"}).gpu_memory_mib == 2048


def test_annotations_of_others_and_of_the_system_are_passed_over() -> None:
    others = {
        "dilu.dev/gpu-uuids": "GPU-1,GPU-2",
        "dilu.dev/gpu-shares": "not even JSON",
        "dilu.dev/share-override": "1,2",
        "autoscaling.knative.dev/target": "x",
        "autoscaling.knative.dev/min-scal": "x",
        "sm-request": "x",
        "x.dilu.dev/sm-request": "x",
        "dilu.developer/x": "x",
    }
    assert from_annotations("f", others) == FunctionSpec(name="f")


@pytest.mark.parametrize(
    ("annotations", "want"),
    [
        ({names.MAX_SCALE: "0"}, (0, None)),
        ({names.MAX_SCALE: "1"}, (0, 1)),
        ({names.MIN_SCALE: "3", names.MAX_SCALE: "0"}, (3, None)),
        ({names.MIN_SCALE_ALIAS: "2", names.MAX_SCALE_ALIAS: "5"}, (2, 5)),
        ({names.MIN_SCALE_ALIAS: "nonsense", names.MIN_SCALE: "1"}, (1, None)),
        ({names.MAX_SCALE_ALIAS: "0"}, (0, None)),
    ],
)
def test_knatives_bounds_keep_their_meaning(annotations: dict[str, str], want: tuple[int, int | None]) -> None:
    spec = from_annotations("f", annotations)
    assert (spec.min_scale, spec.max_scale) == want


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("dilu.dev/sm-requests", "did you mean dilu.dev/sm-request?"),
        ("dilu.dev/slo", "did you mean dilu.dev/slo-ms?"),
        ("dilu.dev/SM-LIMIT", "did you mean"),
        ("dilu.dev/", "unknown key"),
        ("dilu.dev/gpu-milli", "unknown key"),
        ("dilu.dev/a\nb", "unknown key"),
    ],
)
def test_an_unknown_annotation_of_ours_names_the_nearest(key: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_annotations("embed", {key: "1"})
    assert hint in str(caught.value)
    assert str(caught.value).startswith("function embed: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        (names.SM_REQUEST, "", "must be a whole number of milli-GPU from 1 to 1000"),
        (names.SM_REQUEST, "0", "must be a whole number of milli-GPU"),
        (names.SM_REQUEST, "1001", "must be a whole number of milli-GPU"),
        (names.SM_REQUEST, "300.0", "must be a whole number of milli-GPU"),
        (names.SM_REQUEST, " 300", "must be a whole number of milli-GPU"),
        (names.SM_REQUEST, "300\n", "must be a whole number of milli-GPU"),
        (names.SM_REQUEST, "1_00", "must be a whole number of milli-GPU"),
        (names.SM_REQUEST, "٣٠٠", "must be a whole number of milli-GPU"),
        (names.SM_REQUEST, "0x1", "must be a whole number of milli-GPU"),
        (names.SM_REQUEST, "9" * 200, "must be a whole number of milli-GPU"),
        (names.SLO_MS, "nan", "must be a number above 0"),
        (names.SLO_MS, "inf", "must be a number above 0"),
        (names.SLO_MS, "1e999", "must be a number above 0"),
        (names.SLO_MS, "1e-999", "must be a number above 0"),
        (names.SLO_MS, "60ms", "must be a number above 0"),
        (names.SLO_MS, "true", "must be a number above 0"),
        (names.GPU_MEMORY, "6GB", "must be a quantity"),
        (names.GPU_MEMORY, "1.5G", "must be whole MiB"),
        (names.KIND, "batch", "must be one of inference, llm-inference, training"),
        (names.AFFINITY_GROUP, "A B", "must be 1 to 63"),
        (names.MIN_SCALE, "-1", "must be a whole number from 0"),
        (names.MIN_SCALE_ALIAS, "x", "must be a whole number from 0"),
        (names.MAX_SCALE, "-1", "must be a whole number from 1"),
        (names.MAX_SCALE, "2147483648", "must be a whole number from 1"),
        (names.BATCH, 16, "must be a text"),
        (names.BATCH, None, "must be a text"),
    ],
)
def test_a_bad_value_names_annotation_value_and_rule(key: str, value: str, rule: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_annotations("embed", {key: value})
    message = str(caught.value)
    assert message.startswith(f"function embed: {key} = {value!r}"[:90])
    assert rule in message
    assert len(message) < 250


def test_a_limit_below_its_request_names_the_annotation() -> None:
    with pytest.raises(ConfigError) as caught:
        from_annotations("f", {names.SM_REQUEST: "300", names.SM_LIMIT: "299"})
    assert str(caught.value) == "function f: dilu.dev/sm-limit = '299', must be at least the request, 300"


def test_the_objects_name_must_be_a_label() -> None:
    with pytest.raises(ConfigError, match=r"function: name = 'Embed', must be 1 to 63"):
        from_annotations("Embed", {})


def test_the_design_examples_opt_in() -> None:
    spec = function_spec("embed", slo_ms=60, batch=16, sm_request=300, sm_limit=600, gpu_memory="2Gi")
    assert to_annotations(spec) == {
        "dilu.dev/kind": "inference",
        "dilu.dev/slo-ms": "60",
        "dilu.dev/batch": "16",
        "dilu.dev/sm-request": "300",
        "dilu.dev/sm-limit": "600",
        "dilu.dev/gpu-memory": "2Gi",
    }
