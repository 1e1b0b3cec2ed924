"""Invalid objects: ours reports them, leaves other owners' objects alone, and continues with all others."""

from __future__ import annotations

import pytest

from cluster_tests.dilu_faults import ask_once, restarts_of, traffic, with_new_pods
from testcluster.api import Object, condition_of, is_ready
from testcluster.cluster import Cluster
from testcluster.dilu_install import Dilu
from testcluster.services import (
    HELLO,
    SERVING,
    WINDOW,
    create_service,
    end_pods,
    pods_of,
    wait_for_zero,
)

EXCLUDED = {"metadata": {"labels": {"webhooks.knative.dev/exclude": "true"}}}
INCLUDED: Object = {"metadata": {"labels": {"webhooks.knative.dev/exclude": None}}}
AUTOSCALER = ("autoscaling.internal.knative.dev/v1alpha1", "PodAutoscaler")
METRIC = ("autoscaling.internal.knative.dev/v1alpha1", "Metric")
SERVERLESS_SERVICE = ("networking.internal.knative.dev/v1alpha1", "ServerlessService")
BAD = {
    "autoscaling.knative.dev/target": "many",
    "autoscaling.knative.dev/min-scale": "-3",
    "autoscaling.knative.dev/max-scale": "1e9",
    "autoscaling.knative.dev/panic-threshold-percentage": "NaN",
    "autoscaling.knative.dev/scale-down-delay": "soon",
    "autoscaling.knative.dev/metric": "mood",
    "dilu.dev/sm-request": "half",
}
REVISION = "odd-00001"


def test_annotations_that_cannot_be_read_are_named_and_the_rest_goes_on(
    cluster: Cluster, namespace: str, dilu: Dilu
) -> None:
    with_new_pods(dilu)
    url: str = create_service(cluster, namespace, "odd")["status"]["url"]
    cluster.api.patch("v1", "Namespace", namespace, None, EXCLUDED)  # Knative's webhook would refuse what follows
    cluster.api.patch(*AUTOSCALER, REVISION, namespace, {"metadata": {"annotations": BAD}})
    events = cluster.api.wait_for_list(
        "v1",
        "Event",
        namespace,
        lambda events: len(annotation_errors(events)) >= 1,
        timeout_s=30.0,
        what="an Event about an annotation",
    )
    wait_for_zero(cluster, namespace, "odd")
    waited = ask_once(cluster, url)
    cluster.api.patch("v1", "Namespace", namespace, None, INCLUDED)
    named = sorted(annotation_errors(cluster.api.items("v1", "Event", namespace)))
    print(f"from zero {waited.seconds:.1f} s; {len(events)} events; said: {named}")
    assert waited.status == 200
    assert all(any(name in message for message in named) for name in BAD), named
    assert restarts_of(dilu) == [0, 0]


def annotation_errors(events: list[Object]) -> list[str]:
    return [one["message"] for one in events if one["reason"] == "InvalidAnnotation"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [METRIC, SERVERLESS_SERVICE], ids=["metric", "serverless-service"])
def test_an_object_of_another_owner_is_left_alone(
    cluster: Cluster, namespace: str, dilu: Dilu, kind: tuple[str, str]
) -> None:
    with_new_pods(dilu)
    other: str = create_service(cluster, namespace, "other")["status"]["url"]
    owner = cluster.api.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "namespace": namespace}}
    )
    cluster.api.create(foreign(kind, namespace, owner))
    made = cluster.api.create(service("odd", namespace))
    with traffic(cluster, other) as seen:
        found = cluster.api.wait_for(
            *AUTOSCALER, REVISION, namespace, lambda one: reason_of(one) == "NotOwned", timeout_s=30.0
        )
    after = cluster.api.get(*kind, REVISION, namespace)
    print(f"Ready {condition_of(found, 'Ready')}, reason {reason_of(found)}; {seen}")
    assert after["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]
    assert after["spec"] == foreign(kind, namespace, owner)["spec"] | after["spec"]
    assert seen.failed == []
    # Without the stranger it becomes ready.
    cluster.api.delete(*kind, REVISION, namespace)
    cluster.api.wait_for(SERVING, "Service", made["metadata"]["name"], namespace, is_ready, timeout_s=120.0)
    assert restarts_of(dilu) == [0, 0]


def foreign(kind: tuple[str, str], namespace: str, owner: Object) -> Object:
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    metadata: Object = {
        "name": REVISION,
        "namespace": namespace,
        "ownerReferences": [{**reference, "controller": True}],
    }
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "missing"}
    spec: Object = {"mode": "Proxy", "protocolType": "http1", "objectRef": target, "numActivators": 2}
    if kind == METRIC:
        spec = {"stableWindow": 60_000_000_000, "panicWindow": 6_000_000_000, "scrapeTarget": ""}
        metadata["annotations"] = {"autoscaling.knative.dev/class": "kpa.autoscaling.knative.dev"}
    return {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata, "spec": spec}


def service(name: str, namespace: str) -> Object:
    template = {"metadata": {"annotations": {WINDOW: "6s"}}, "spec": {"containers": [{"image": HELLO}]}}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": SERVING, "kind": "Service", "metadata": metadata, "spec": {"template": template}}


def reason_of(autoscaler: Object) -> str:
    """Why it is not Ready."""
    conditions = (autoscaler.get("status") or {}).get("conditions") or ()
    found: str = next((one.get("reason", "") for one in conditions if one["type"] == "Ready"), "")
    return found


@pytest.mark.slow
def test_pods_without_a_status_are_no_pods_that_are_ready(cluster: Cluster, namespace: str, dilu: Dilu) -> None:
    with_new_pods(dilu)
    url: str = create_service(cluster, namespace, "odd")["status"]["url"]
    [real] = pods_of(cluster, namespace, "odd")
    for number in range(3):
        labels = {name: text for name, text in real["metadata"]["labels"].items() if name != "pod-template-hash"}
        cluster.api.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"ghost-{number}", "namespace": namespace, "labels": labels},
                # No scheduler has this name, so the pod never gets a status.
                "spec": {"schedulerName": "missing", "containers": [{"name": "user-container", "image": HELLO}]},
            }
        )
    with traffic(cluster, url) as seen:
        found = cluster.api.wait_for(
            *AUTOSCALER, REVISION, namespace, lambda one: one["status"].get("actualScale") == 1, timeout_s=30.0
        )
    assert (seen.failed, found["status"]["actualScale"]) == ([], 1)
    for number in range(3):
        cluster.api.delete("v1", "Pod", f"ghost-{number}", namespace, grace_s=0)
    wait_for_zero(cluster, namespace, "odd")
    assert ask_once(cluster, url).status == 200
    assert restarts_of(dilu) == [0, 0]


@pytest.mark.slow
def test_a_service_that_is_deleted_and_created_again_at_once_starts_again(
    cluster: Cluster, namespace: str, dilu: Dilu
) -> None:
    with_new_pods(dilu)
    url: str = create_service(cluster, namespace, "odd")["status"]["url"]
    wait_for_zero(cluster, namespace, "odd")
    for _ in range(3):
        old = cluster.api.get(*AUTOSCALER, REVISION, namespace)["metadata"]["uid"]
        cluster.api.delete(SERVING, "Service", "odd", namespace)
        cluster.api.wait_deleted(SERVING, "Service", "odd", namespace, timeout_s=30.0)
        cluster.api.create(service("odd", namespace))
        new = cluster.api.wait_for(SERVING, "Service", "odd", namespace, is_ready, timeout_s=60.0)
        made = cluster.api.get(*AUTOSCALER, REVISION, namespace)
        assert made["metadata"]["uid"] != old
        assert condition_of(made, "Ready") is not None
        assert new["status"]["url"] == url
        assert ask_once(cluster, url).status == 200
    wait_for_zero(cluster, namespace, "odd")
    assert ask_once(cluster, url).status == 200
    end_pods(cluster, namespace)
    assert restarts_of(dilu) == [0, 0]
