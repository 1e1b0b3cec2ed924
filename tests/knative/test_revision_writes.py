"""The requests to the API: whose bodies they have, and that nothing is written that is so already."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.errors import ConfigError
from dilu_autoscaler.knative.configuration.config import Config
from dilu_autoscaler.knative.configuration.revision_settings import settings_of
from dilu_autoscaler.knative.objects import PodAutoscalerStatus
from dilu_autoscaler.knative.reconciling.cluster_view import PodCounts, count_pods
from dilu_autoscaler.knative.reconciling.metric_status import metric_status
from dilu_autoscaler.knative.reconciling.owned_objects import is_owned, metric_spec, metric_write, sks_spec, sks_write
from dilu_autoscaler.knative.reconciling.writes import (
    Verb,
    metric_status_write,
    scalable,
    scale_to,
    status_write,
)
from dilu_autoscaler.knative.scraping.scraper import Scraped, ScrapeProblem
from dilu_kube.objects import ConditionObject, Meta, OwnerReference, Pod, PodCondition, PodStatus, TargetReference
from dilu_kube.resources import DEPLOYMENTS, JSON_PATCH, MERGE_PATCH
from knative.revisions import NOW_S, TARGET, active, autoscaler, condition, metric, services

OWNER = {
    "apiVersion": "autoscaling.internal.knative.dev/v1alpha1",
    "kind": "PodAutoscaler",
    "name": "rev",
    "uid": "pa-uid",
    "controller": True,
    "blockOwnerDeletion": True,
}
CLASS, METRIC = "autoscaling.knative.dev/class", "autoscaling.knative.dev/metric"


def test_a_new_serverless_service_is_as_knative_makes_it() -> None:
    pa = autoscaler(annotations={"min-scale": "1"})
    write = sks_write(pa, None, sks_spec(pa, "Proxy", 2))
    assert write is not None
    assert (write.verb, write.resource.path("ns")) == (
        Verb.CREATE,
        "/apis/networking.internal.knative.dev/v1alpha1/namespaces/ns/serverlessservices",
    )
    assert write.body == {
        "apiVersion": "networking.internal.knative.dev/v1alpha1",
        "kind": "ServerlessService",
        "metadata": {
            "name": "rev",
            "namespace": "ns",
            "labels": {"serving.knative.dev/revision": "rev", "app": "rev"},
            "annotations": {CLASS: "kpa.autoscaling.knative.dev", "autoscaling.knative.dev/min-scale": "1"},
            "ownerReferences": [OWNER],
        },
        "spec": {
            "mode": "Proxy",
            "objectRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "rev-deployment"},
            "protocolType": "http1",
            "numActivators": 2,
        },
    }


def test_a_new_metric_is_as_knative_makes_it() -> None:
    pa = autoscaler(annotations={"window": "100s"})
    write = metric_write(pa, None, metric_spec(settings_of(pa, Config()), "rev-private"))
    assert write is not None
    assert isinstance(write.body, dict)
    assert write.body["metadata"] == {
        "name": "rev",
        "namespace": "ns",
        "labels": {"serving.knative.dev/revision": "rev", "app": "rev"},
        "annotations": {
            CLASS: "kpa.autoscaling.knative.dev",
            METRIC: "concurrency",
            "autoscaling.knative.dev/window": "100s",
        },
        "ownerReferences": [OWNER],
    }
    assert write.body["spec"] == {
        "stableWindow": 100_000_000_000,
        "panicWindow": 10_000_000_000,
        "scrapeTarget": "rev-private",
    }


@pytest.mark.parametrize(
    ("kind", "name"),
    [("kpa.autoscaling.knative.dev", "concurrency"), ("hpa.autoscaling.knative.dev", "cpu"), ("other.io", "")],
)
def test_an_absent_metric_annotation_gets_the_default_of_the_class(kind: str, name: str) -> None:
    pa = autoscaler()
    bare = msgspec.structs.replace(
        pa, metadata=msgspec.structs.replace(pa.metadata, annotations={CLASS: kind}, labels={})
    )
    write = metric_write(bare, None, metric_spec(settings_of(bare, Config()), ""))
    assert write is not None
    assert isinstance(write.body, dict)
    assert write.body["metadata"]["annotations"] == {CLASS: kind, METRIC: name}
    assert "labels" not in write.body["metadata"]


def test_a_spec_that_differs_is_patched_for_the_version_that_was_read() -> None:
    pa = autoscaler()
    assert sks_write(pa, services(), sks_spec(pa, "Serve", 4)) is None
    for mode, count in (("Proxy", 4), ("Serve", 5)):
        write = sks_write(pa, services(), sks_spec(pa, mode, count))
        assert write is not None
        assert (write.verb, write.content_type, write.subresource) == (Verb.PATCH, MERGE_PATCH, "")
        assert isinstance(write.body, dict)
        assert write.body["metadata"] == {"resourceVersion": "11"}
        assert (write.body["spec"]["mode"], write.body["spec"]["numActivators"]) == (mode, count)
    assert metric_write(pa, metric(), metric().spec) is None
    write = metric_write(pa, metric(), metric(window_s=60).spec)
    assert write is not None
    assert isinstance(write.body, dict)
    assert write.body["metadata"] == {"resourceVersion": "13"}
    assert write.body["spec"]["stableWindow"] == 60 * 10**9


def test_a_scale_is_one_json_patch_of_the_subresource() -> None:
    write = scale_to(TARGET, "ns", 3)
    assert write.resource.path(write.namespace, write.name, write.subresource) == (
        "/apis/apps/v1/namespaces/ns/deployments/rev-deployment/scale"
    )
    assert json.dumps(write.body, separators=(",", ":")) == '[{"op":"add","path":"/spec/replicas","value":3}]'
    assert (write.verb, write.content_type) == (Verb.PATCH, JSON_PATCH)


@pytest.mark.parametrize(
    ("api_version", "kind", "path"),
    [
        ("apps/v1", "StatefulSet", "/apis/apps/v1/namespaces/n/statefulsets/x"),
        ("example.org/v2", "Process", "/apis/example.org/v2/namespaces/n/processes/x"),
        ("v1", "ReplicationController", "/api/v1/namespaces/n/replicationcontrollers/x"),
    ],
)
def test_other_scalable_kinds_are_found_by_their_name(api_version: str, kind: str, path: str) -> None:
    found = scalable(TargetReference(api_version=api_version, kind=kind, name="x"))
    assert found.path("n", "x") == path
    assert scalable(TARGET) is DEPLOYMENTS


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [("", "Deployment"), ("apps/v1", ""), ("a/b/c", "Thing"), ("a/", "B")],
)
def test_a_target_of_no_kind_is_refused(api_version: str, kind: str) -> None:
    with pytest.raises(ConfigError, match="scaleTargetRef 'x'"):
        scalable(TargetReference(api_version=api_version, kind=kind, name="x"))


def test_a_status_is_put_with_the_whole_object_that_was_read() -> None:
    pa = autoscaler(active(), spec={"container_concurrency": 3, "reachability": "Reachable"})
    assert status_write(pa, pa.status) is None
    unknown = ConditionObject(type="Ready", status="Unknown")
    write = status_write(pa, PodAutoscalerStatus(observed_generation=1, conditions=(unknown,)))
    assert write is not None
    assert write.resource.path(write.namespace, write.name, write.subresource) == (
        "/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces/ns/podautoscalers/rev/status"
    )
    assert isinstance(write.body, dict)
    assert write.body["metadata"]["resourceVersion"] == "7"
    assert write.body["spec"] == {
        "containerConcurrency": 3,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "rev-deployment"},
        "reachability": "Reachable",
        "protocolType": "http1",
    }
    # The API asks for both names, and for type and status of each condition, even where they are empty or a default.
    assert write.body["status"] == {
        "observedGeneration": 1,
        "conditions": [{"type": "Ready", "status": "Unknown"}],
        "serviceName": "",
        "metricsServiceName": "",
    }


def test_only_the_controller_owns_an_object() -> None:
    pa = autoscaler()
    assert is_owned(services().metadata, pa)
    assert not is_owned(services(owner=None).metadata, pa)
    assert not is_owned(services(owner=OwnerReference(uid="pa-uid")).metadata, pa)
    assert not is_owned(services(owner=OwnerReference(uid="another", controller=True)).metadata, pa)


@pytest.mark.parametrize(
    ("failure", "status", "reason", "message"),
    [
        (None, "True", "", ""),
        (Scraped(error="none", problem=ScrapeProblem.NO_STAT), "False", "DidNotReceiveStat", "none"),
        (Scraped(error="refused"), "False", "CollectionFailed", "Failed to reconcile metric collection: refused"),
    ],
)
def test_a_metric_says_whether_its_load_is_collected(
    failure: Scraped | None, status: str, reason: str, message: str
) -> None:
    found = metric_status(metric(), failure=failure, now_s=NOW_S)
    assert found.observed_generation == 1
    assert found.conditions == (condition("Ready", status, reason, message),)
    write = metric_status_write(metric(), found)
    assert write is not None
    assert isinstance(write.body, dict)
    assert (write.subresource, write.content_type) == ("status", MERGE_PATCH)
    assert json.loads(json.dumps(write.body))["status"]["conditions"][0]["status"] == status
    stored = msgspec.structs.replace(metric(), status=found)
    again = metric_status(stored, failure=failure, now_s=NOW_S + 99)
    assert again == found
    assert metric_status_write(stored, again) is None


def test_a_metrics_condition_gets_a_new_time_when_it_changes_and_keeps_others() -> None:
    other = condition("Other", "True", for_s=9)
    stored = msgspec.structs.replace(
        metric(),
        status=msgspec.structs.replace(metric().status, conditions=(condition("Ready", "True", for_s=50), other)),
    )
    found = metric_status(stored, failure=Scraped(error="refused"), now_s=NOW_S)
    assert [one.type for one in found.conditions] == ["Other", "Ready"]
    assert found.conditions[0] == other
    assert found.conditions[1].last_transition_time == condition("Ready", "False").last_transition_time


def pod(phase: str, *, ready: bool = False, leaving: bool = False) -> Pod:
    conditions = (PodCondition(type="Ready", status="True" if ready else "False"),)
    meta = Meta(name="p", deletion_timestamp="2027-01-15T08:00:00Z" if leaving else None)
    return Pod(metadata=meta, status=PodStatus(phase=phase, conditions=conditions))


@pytest.mark.parametrize(
    ("seen", "counts"),
    [
        (pod("Pending"), PodCounts(pending=1, not_ready=1)),
        (pod("Pending", leaving=True), PodCounts(pending=1, not_ready=1)),
        (pod("Running", ready=True), PodCounts(ready=1)),
        (pod("Running"), PodCounts(not_ready=1)),
        (pod("Running", ready=True, leaving=True), PodCounts(terminating=1, not_ready=1)),
        (pod("Succeeded", ready=True), PodCounts()),
        (pod("Failed", leaving=True), PodCounts()),
        (pod(""), PodCounts()),
        (Pod(metadata=Meta(name="new")), PodCounts()),
        (Pod(metadata=Meta(name="new"), status=PodStatus(phase="Running")), PodCounts(not_ready=1)),
    ],
)
def test_a_pod_counts_by_its_phase(seen: Pod, counts: PodCounts) -> None:
    assert count_pods([seen]) == counts


@given(
    st.lists(
        st.builds(
            pod,
            st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown", ""]),
            ready=st.booleans(),
            leaving=st.booleans(),
        )
    )
)
def test_every_pod_that_counts_is_ready_or_not(pods: list[Pod]) -> None:
    counts = count_pods(pods)
    assert counts.ready + counts.not_ready == sum(one.status.phase in ("Pending", "Running") for one in pods)
    assert counts.pending + counts.terminating <= counts.not_ready
