"""Services on stock Knative, and with ours in its place: what stock passes is what we have to pass."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from testcluster.api import is_ready
from testcluster.cluster import Cluster
from testcluster.services import (
    AUTOSCALE,
    HELLO,
    SERVING,
    TARGET,
    ask_many,
    create_service,
    pods_of,
    wait_for_pods,
    wait_for_zero,
)

POD_AUTOSCALER = ("autoscaling.internal.knative.dev/v1alpha1", "PodAutoscaler")
pytestmark = pytest.mark.usefixtures("in_place")


def test_a_service_made_by_kn_becomes_ready_and_answers(cluster: Cluster, namespace: str) -> None:
    cluster.run("kn", "service", "create", "hello", "--image", HELLO, "--namespace", namespace)
    service = cluster.api.get(SERVING, "Service", "hello", namespace)
    answer = cluster.http(service["status"]["url"])
    assert is_ready(service)
    assert (answer.status, answer.text.startswith("Hello World!")) == (200, True)


def test_a_service_goes_to_zero_by_itself_and_a_request_from_zero_is_answered(cluster: Cluster, namespace: str) -> None:
    url = create_service(cluster, namespace, "hello")["status"]["url"]
    wait_for_zero(cluster, namespace, "hello")
    assert cluster.http(url).status == 200
    assert len(pods_of(cluster, namespace, "hello")) == 1


def test_concurrency_6_at_target_2_brings_at_least_3_pods(cluster: Cluster, namespace: str) -> None:
    target = {TARGET: "2", "autoscaling.knative.dev/target-utilization-percentage": "100"}
    url = create_service(cluster, namespace, "busy", image=AUTOSCALE, annotations=target)["status"]["url"]
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(ask_many, cluster, f"{url}?sleep=20000", count=6)
        wait_for_pods(cluster, namespace, "busy", at_least=3)
        assert {answer.status for answer in answers.result()} == {200}


def test_a_services_pod_autoscaler_says_that_it_is_ready_and_how_many_pods_there_are(
    cluster: Cluster, namespace: str
) -> None:
    create_service(cluster, namespace, "hello")
    [name] = [one["metadata"]["name"] for one in cluster.api.items(*POD_AUTOSCALER, namespace)]
    found = cluster.api.wait_for(
        *POD_AUTOSCALER, name, namespace, lambda one: one["status"].get("desiredScale") == 1, timeout_s=20.0
    )
    conditions = {one["type"]: one["status"] for one in found["status"]["conditions"]}
    assert conditions == {"Active": "True", "Ready": "True", "SKSReady": "True", "ScaleTargetInitialized": "True"}
    assert found["status"]["actualScale"] == 1
