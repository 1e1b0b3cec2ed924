"""Least privilege: each right of the autoscaler and of the hooks, and that there is no other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from chart.rendering import CHART, MODES, Manifest, mode, one, rendered

READS = {"get", "list", "watch"}
BUCKETS = {f"autoscaler-bucket-{ordinal:02d}-of-{total:02d}" for total in range(1, 11) for ordinal in range(total)}
Right = tuple[str, str, str]  # group, resource, verb

CLUSTER_WRITES = {
    ("autoscaling.internal.knative.dev", "podautoscalers/status", "update"),
    ("autoscaling.internal.knative.dev", "podautoscalers/finalizers", "update"),
    ("autoscaling.internal.knative.dev", "metrics", "create"),
    ("autoscaling.internal.knative.dev", "metrics", "patch"),
    ("autoscaling.internal.knative.dev", "metrics/status", "patch"),
    ("networking.internal.knative.dev", "serverlessservices", "create"),
    ("networking.internal.knative.dev", "serverlessservices", "patch"),
    ("apps", "deployments/scale", "patch"),
    ("", "pods", "patch"),
    ("", "events", "create"),
    ("", "events", "patch"),
}
CREATES = {
    ("coordination.k8s.io", "leases", "create"),
    ("", "services", "create"),
    ("discovery.k8s.io", "endpointslices", "create"),
    ("discovery.k8s.io", "endpointslices/restricted", "create"),
}
OF_BUCKETS = {
    ("coordination.k8s.io", "leases", "patch"),
    ("", "services", "get"),
    ("discovery.k8s.io", "endpointslices", "get"),
    ("discovery.k8s.io", "endpointslices", "update"),
    ("discovery.k8s.io", "endpointslices", "delete"),
}
HOOK_READS = {
    ("apps", "deployments", "get"),
    ("autoscaling.internal.knative.dev", "podautoscalers", "list"),
    ("autoscaling.internal.knative.dev", "metrics", "list"),
    ("networking.internal.knative.dev", "serverlessservices", "list"),
    ("", "configmaps", "get"),
    ("coordination.k8s.io", "leases", "get"),
    ("", "pods", "list"),
}


def rights(rules: Iterable[Manifest]) -> set[Right]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def roles(manifests: list[Manifest]) -> list[Manifest]:
    return [each for each in manifests if each["kind"] in ("Role", "ClusterRole")]


def test_what_the_autoscaler_may_write_is_this_and_nothing_else() -> None:
    manifests = rendered()
    assert rights(one(manifests, "ClusterRole", "dilu-autoscaler-write")["rules"]) == CLUSTER_WRITES
    rules = one(manifests, "Role", "dilu-autoscaler-write")["rules"]
    named = [rule for rule in rules if "resourceNames" in rule]
    assert rights(rule for rule in rules if "resourceNames" not in rule) == CREATES
    assert rights(named) == OF_BUCKETS
    assert all(set(rule["resourceNames"]) == BUCKETS for rule in named)


@pytest.mark.parametrize("name", MODES)
def test_reading_is_only_reading(name: str) -> None:
    manifests = rendered(mode(name))
    for kind in ("ClusterRole", "Role"):
        assert {verb for _, _, verb in rights(one(manifests, kind)["rules"])} <= READS


def test_observing_writes_nothing() -> None:
    names = {each["metadata"]["name"] for each in roles(rendered(mode("observe")))}
    assert names == {"dilu-autoscaler", "dilu-takeover", "dilu-takeover-write"}


@pytest.mark.parametrize("name", MODES)
def test_no_right_is_a_wildcard_and_none_is_on_secrets(name: str) -> None:
    for role in roles(rendered(mode(name))):
        for group, resource, verb in rights(role["rules"]):
            assert "*" not in group + resource + verb
            assert resource != "secrets"


@pytest.mark.parametrize("name", MODES)
def test_knatives_own_controller_gets_no_right_from_us(name: str) -> None:
    for each in rendered(mode(name)):
        assert not any(label.startswith("serving.knative.dev/") for label in each["metadata"].get("labels", {}))


@pytest.mark.parametrize("name", MODES)
def test_the_hooks_may_change_two_deployments(name: str) -> None:
    manifests = rendered(mode(name))
    assert rights(one(manifests, "Role", "dilu-takeover")["rules"]) == HOOK_READS
    [rule] = one(manifests, "Role", "dilu-takeover-write")["rules"]
    assert rights([rule]) == {("apps", "deployments", "patch")}
    assert rule["resourceNames"] == ["autoscaler", "dilu-autoscaler"]
    assert not [each for each in manifests if each["kind"] == "ClusterRole" and "takeover" in each["metadata"]["name"]]


@pytest.mark.parametrize("name", MODES)
def test_each_binding_gives_its_own_role_to_its_own_account(name: str) -> None:
    for binding in (each for each in rendered(mode(name)) if each["kind"] in ("RoleBinding", "ClusterRoleBinding")):
        assert binding["roleRef"]["name"] == binding["metadata"]["name"]
        assert binding["roleRef"]["kind"] == binding["kind"].removesuffix("Binding")
        [subject] = binding["subjects"]
        assert subject["name"] == binding["metadata"]["name"].removesuffix("-write")


@pytest.mark.parametrize("source", sorted((CHART / "templates").rglob("rbac*.yaml")), ids=lambda path: path.name)
def test_each_rule_says_why_it_is_there(source: Path) -> None:
    lines = source.read_text().splitlines()
    assert any("- apiGroups:" in line for line in lines)
    bare = []
    for number, line in enumerate(lines):
        # Rules to create follow one comment together.
        follows_one_of_its_kind = lines[number - 1].strip() == "verbs: [create]"
        if line.startswith("  - apiGroups:") and not lines[number - 1].strip().startswith("#"):
            bare += [] if follows_one_of_its_kind else [f"{source.name}:{number + 1}"]
    assert bare == []
