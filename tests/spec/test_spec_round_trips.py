"""What one form of the vocabulary says, every other form says as well."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilu.errors import ConfigError
from dilu.spec import (
    ColdStart,
    ExecPoint,
    FunctionSpec,
    Kind,
    Profile,
    from_annotations,
    from_mapping,
    function_spec,
    merge,
    names,
    to_annotations,
    to_mapping,
)
from dilu.spec.applications import Application, FunctionEntry, Gateway, Route, ScalePolicy
from dilu.spec.documents import read_application, read_profile, write_application, write_profile
from dilu.spec.quantities import MAX_MEMORY_MIB

LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
POSITIVE = st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False)
MILLI = st.integers(1, 1000)
COUNT = st.integers(1, 2**31 - 1)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def pairs(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """A request and a limit in order; either may be unset."""
    return (
        st.tuples(values, values)
        .map(sorted)
        .flatmap(lambda pair: st.tuples(st.sampled_from([pair[0], None]), st.sampled_from([pair[1], None])).map(list))
    )


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Keywords of a decorator."""
    sm_request, sm_limit = draw(pairs(MILLI))
    rps_request, rps_limit = draw(pairs(POSITIVE))
    min_scale, max_scale = draw(pairs(COUNT))
    mib = draw(st.integers(1, MAX_MEMORY_MIB))
    return {
        "kind": draw(st.sampled_from(Kind)),
        "slo_ms": draw(st.none() | POSITIVE | COUNT),
        "batch": draw(st.none() | COUNT),
        "sm_request": sm_request,
        "sm_limit": sm_limit,
        "gpu_memory": draw(st.sampled_from([None, mib, f"{mib}Mi", f"{mib * 1024}Ki"])),
        "gpus": draw(st.integers(1, 8)),
        "rps_request": rps_request,
        "rps_limit": rps_limit,
        "affinity_group": draw(st.none() | LABELS),
        "max_stages": draw(st.integers(1, 8)),
        "min_scale": min_scale or 0,
        "max_scale": max_scale,
    }


SPECS = st.builds(lambda name, keywords: function_spec(name, **keywords), LABELS, options())


@settings(deadline=None)  # the machine may be busy
@given(SPECS)
def test_a_spec_survives_annotations_json_and_mappings(spec: FunctionSpec) -> None:
    annotations = to_annotations(spec)
    assert all(isinstance(text, str) for text in annotations.values())
    assert from_annotations(spec.name, annotations) == spec
    assert from_mapping(json.loads(json.dumps(to_mapping(spec)))) == spec


@settings(deadline=None)  # the machine may be busy
@given(SPECS, SPECS)
def test_merging_the_whole_of_another_spec_gives_the_other(spec: FunctionSpec, other: FunctionSpec) -> None:
    assert merge(spec, to_mapping(other)) == other
    assert merge(spec, {}) == spec


@settings(deadline=None)  # the machine may be busy
@given(LABELS, options())
def test_a_decorator_survives_annotations_and_yaml(
    tmp_path_factory: pytest.TempPathFactory, name: str, keywords: dict[str, Any]
) -> None:
    declared = function_spec(name, **keywords)
    spec = from_annotations(name, to_annotations(declared))
    path = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    entry = FunctionEntry(target="app.py:f", overrides=to_mapping(spec))
    write_application(Application(name="shop", functions=(entry,)), path)
    read = read_application(path)
    assert read.functions == (entry,)
    assert read.specs([FunctionSpec(name="other", batch=3)]) == (declared,)


ENVIRONMENTS = st.dictionaries(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True).filter(lambda n: n not in names.RESERVED_ENVIRONMENT),
    TEXTS,
    max_size=4,
)
ENTRIES = st.builds(
    lambda position, keywords, kept, policy, env: FunctionEntry(
        target=f"folder/ä {position}.py:Größe",
        overrides={key: value for key, value in keywords.items() if key in kept},
        policy=policy,
        env=env,
    ),
    st.integers(),
    options(),
    st.sets(st.sampled_from(["kind", "slo_ms", "batch", "gpu_memory", "gpus", "affinity_group", "max_stages"])),
    st.sampled_from(ScalePolicy),
    ENVIRONMENTS,
)
APPLICATIONS = st.builds(
    Application,
    name=LABELS,
    gateway=st.builds(
        Gateway,
        host=st.sampled_from(["127.0.0.1", "0.0.0.0", "::1", "::", "localhost", "1e3", "no"]),
        port=st.integers(0, 65535),
        route=st.sampled_from(Route),
    ),
    functions=st.lists(ENTRIES, min_size=1, max_size=3, unique_by=lambda entry: entry.target).map(tuple),
)


@settings(deadline=None)  # the machine may be busy
@given(APPLICATIONS)
def test_an_application_survives_its_file(tmp_path_factory: pytest.TempPathFactory, application: Application) -> None:
    path = tmp_path_factory.getbasetemp() / "application.yaml"
    write_application(application, path)
    assert read_application(path) == application


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    sm_request, sm_limit = sorted([draw(MILLI), draw(MILLI)])
    rps_request, rps_limit = sorted([draw(POSITIVE), draw(POSITIVE)])
    points = st.builds(ExecPoint, batch=COUNT, sm_milli=MILLI, ms=POSITIVE)
    phase = st.just(0.0) | POSITIVE
    return Profile(
        kind=draw(st.sampled_from(Kind)),
        batch=draw(COUNT),
        sm_request=sm_request,
        sm_limit=sm_limit,
        rps_request=rps_request,
        rps_limit=rps_limit,
        memory_mib=draw(st.none() | st.integers(1, MAX_MEMORY_MIB)),
        slo_ms=draw(st.none() | POSITIVE),
        exec_ms=tuple(draw(st.lists(points, max_size=5, unique_by=lambda point: (point.batch, point.sm_milli)))),
        cold_start_ms=draw(
            st.none() | st.builds(ColdStart, process_ms=phase, import_ms=phase, load_ms=phase, warmup_ms=phase)
        ),
        machine=draw(st.dictionaries(TEXTS, TEXTS, max_size=3)),
        versions=draw(st.dictionaries(TEXTS, TEXTS, max_size=3)),
        trials=draw(st.none() | COUNT),
    )


@settings(deadline=None)  # the machine may be busy
@given(profiles())
def test_a_profile_survives_its_file(tmp_path_factory: pytest.TempPathFactory, profile: Profile) -> None:
    path = tmp_path_factory.getbasetemp() / "profile.yaml"
    write_profile(profile, path)
    assert read_profile(path) == profile


YAML_PIECES = [*"{}[]:,-&*!|>'\"%@`#?\n \tab1~\\", "functions", "target", "<<", "a: b", "\n- "]


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=200) | st.lists(st.sampled_from(YAML_PIECES)).map("".join))
def test_any_text_is_an_application_or_one_line_about_the_file(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    problem = ""
    try:
        read_application(path)
    except ConfigError as error:
        problem = str(error)
    assert not problem or problem.startswith(f"{path}:")
    assert "\n" not in problem


ANNOTATIONS = st.sampled_from([names.BATCH, names.SLO_MS, names.GPU_MEMORY, names.MAX_SCALE, names.AFFINITY_GROUP])


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(ANNOTATIONS, st.text() | st.integers().map(str) | st.floats().map(str)))
def test_any_annotations_are_a_spec_or_a_config_error(annotations: dict[str, str]) -> None:
    problem, spec = "", FunctionSpec(name="f")
    try:
        spec = from_annotations("f", annotations)
    except ConfigError as error:
        problem = str(error)
    assert "\n" not in problem
    assert from_annotations("f", to_annotations(spec)) == spec
