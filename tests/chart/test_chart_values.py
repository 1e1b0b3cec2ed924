"""The chart's values: what is there is allowed, explained and defaulted; what is wrong is refused in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import yaml

from chart.rendering import CHART, ROOT, helm, refusal

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
VARIANTS = sorted((CHART / "ci").glob("*-values.yaml"))
OPEN = frozenset(
    {"affinity", "global", "nodeSelector", "podAnnotations", "podLabels", "labels", "recording", "resources"}
)


def merged(below: Any, above: Any) -> Any:
    """As helm lays values over the chart's own."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: merged(below.get(key), value) for key, value in above.items()}}
    return above


def errors(values: Any) -> list[str]:
    return [f"{list(one.instance_path)}: {one.message}" for one in jsonschema_rs.iter_errors(SCHEMA, values)]


def keys(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{path}{name}"
        if isinstance(value, dict) and name not in OPEN:
            yield from keys(value, f"{path}{name}.")


def schema_keys(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, part in schema.get("properties", {}).items():
        yield f"{path}{name}"
        if name not in OPEN:
            yield from schema_keys(part, f"{path}{name}.")


def test_the_defaults_are_allowed() -> None:
    assert errors(VALUES) == []


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.name)
def test_each_variant_is_allowed(variant: Any) -> None:
    assert errors(merged(VALUES, yaml.safe_load(variant.read_text()))) == []


def test_the_schema_knows_the_values_and_no_others() -> None:
    assert set(schema_keys(SCHEMA)) - {"global"} == set(keys(VALUES))


def test_each_part_of_the_schema_refuses_what_it_does_not_know() -> None:
    def parts(schema: Any) -> Iterator[dict[str, Any]]:
        if isinstance(schema, dict):
            if "properties" in schema:
                yield schema
            for value in schema.values():
                yield from parts(value)

    assert [part for part in parts(SCHEMA) if part.get("additionalProperties") is not False] == []


def test_each_value_is_in_the_installation_guide() -> None:
    guide = (ROOT / "docs/install.md").read_text()
    leaves = [key for key in keys(VALUES) if not any(other.startswith(f"{key}.") for other in keys(VALUES))]
    assert [key for key in leaves if f"`{key}`" not in guide] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("autoscaler.mode", "replcae"),
        ("autoscaler.replicas", 0),
        ("autoscaler.replicas", "2"),
        ("autoscaler.mod", "replace"),
        ("autoscaler.podLabels", {"app": "mine"}),
        ("autoscaler.podLabels", {"a": 1}),
        ("autoscaler.podLabels", {"helm.sh/chart": "mine"}),
        ("autoscaler.recording", "/tmp"),
        ("autoscaler.recording", {"emptyDir": {}, "hostPath": {}}),
        ("autoscaler.image.tag", "v1@sha256:0"),
        ("autoscaler.image.repository", ""),
        ("autoscaler.resources.limits", {"memory": "lots"}),
        ("servingNamespace", "Knative_Serving"),
        ("takeover.timeoutSeconds", 1),
        ("monitoring.prometheusRule.holdSeconds", -1),
        ("unknown", {}),
    ],
)
def test_a_wrong_value_is_refused(path: str, value: Any) -> None:
    changed: Any = value
    for name in reversed(path.split(".")):
        changed = {name: changed}
    assert len(errors(merged(VALUES, changed))) == 1


def test_helm_names_the_value_and_the_rule() -> None:
    said = refusal("--set=autoscaler.mode=replcae", "--set=autoscaler.replicas=0", "--set=autoscaler.mod=replace")
    assert "at '/autoscaler/mode': value must be one of 'replace', 'coexist', 'observe'" in said
    assert "at '/autoscaler/replicas': minimum: got 0, want 1" in said
    assert "at '/autoscaler': additional properties 'mod' not allowed" in said


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.name)
def test_helm_lint_has_nothing_to_say(variant: Any) -> None:
    done = helm("lint", str(CHART), "--strict", "--quiet", "-f", str(variant))
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (0, "", "")
