"""Two replicas of ours in the place of Knative's autoscaler: one decides, both listen, and both say what they do."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from cluster_tests.activator import Activator
from cluster_tests.dilu_faults import wait_until
from testcluster.cluster import Cluster
from testcluster.dilu_install import STOCK, Dilu
from testcluster.services import SERVING, create_service, pods_of, wait_for_pods, wait_for_zero


def revision_of(cluster: Cluster, namespace: str, service: str) -> str:
    found: str = cluster.api.get(SERVING, "Service", service, namespace)["status"]["latestCreatedRevisionName"]
    return found


def test_one_replica_holds_the_lease_both_know_it_and_knatives_own_is_at_zero(dilu: Dilu) -> None:
    pods = dilu.pods()
    numbers = {pod["metadata"]["name"]: dilu.numbers(pod) for pod in pods}
    holder = dilu.holder()
    held = {name: found['dilu_bucket_held{bucket="autoscaler-bucket-00-of-01"}'] for name, found in numbers.items()}
    assert held == {name: float(name == holder) for name in numbers}
    assert len(held) == 2
    line = f'dilu_bucket_holder{{bucket="autoscaler-bucket-00-of-01",holder="{holder}",side="ours"}}'
    assert [found[line] for found in numbers.values()] == [1.0, 1.0]
    assert (dilu.stock_replicas(), dilu.pods(STOCK)) == (0, [])


def test_the_activator_reports_to_one_of_them(dilu: Dilu) -> None:
    # It connects through Knative's Service, so that it may be any of them.
    clients = [dilu.numbers(pod)["dilu_websocket_clients"] for pod in dilu.pods()]
    assert sum(clients) >= 1.0


def test_what_an_activator_reports_to_either_replica_wakes_a_revision(
    cluster: Cluster, namespace: str, dilu: Dilu
) -> None:
    pods = {pod["metadata"]["name"]: pod for pod in dilu.pods()}
    holder = dilu.holder()
    [standby] = [name for name in pods if name != holder]
    reported_to = {"to-holder": pods[holder], "to-standby": pods[standby]}
    for service in reported_to:
        create_service(cluster, namespace, service)
    for service in reported_to:
        wait_for_zero(cluster, namespace, service)
    for service, pod in reported_to.items():
        with Activator(cluster, pod["status"]["podIP"]) as activator:
            activator.report_one_waiting(f"{namespace}/{revision_of(cluster, namespace, service)}")
            wait_for_pods(cluster, namespace, service, at_least=1)
    assert dilu.numbers(pods[standby])["dilu_stats_forwarded_total"] >= 1.0


def test_dilu_explain_shows_why_a_service_has_its_pods(cluster: Cluster, namespace: str, dilu: Dilu) -> None:
    create_service(cluster, namespace, "hello")
    revision = f"{namespace}/{revision_of(cluster, namespace, 'hello')}"
    wait_until("a number is decided", lambda: 1 in wanted(dilu.decisions(revision)), timeout_s=60)
    said = cluster.run(sys.executable, "-m", "dilu", "explain", revision).stdout
    assert revision in said
    assert f"held by {dilu.holder()}" in said
    document = json.loads(cluster.run(sys.executable, "-m", "dilu", "explain", revision, "-o", "json").stdout)
    [answer] = document["functions"]
    assert answer["settings"]["policy"] == "kpa"
    assert 1 in wanted(answer)
    assert answer["bucket"]["holder"]["pod"] == dilu.decisions(revision)["bucket"]["holder"]["pod"]


def wanted(answer: Mapping[str, Any]) -> list[int]:
    return [one["outcome"]["want"] for one in answer.get("decisions", []) if one["outcome"]]


def test_an_annotation_that_cannot_be_read_is_told_at_the_pod_autoscaler(
    cluster: Cluster, namespace: str, dilu: Dilu
) -> None:
    annotations = {"dilu.dev/sm-request": "plenty"}  # Knative refuses its own by itself
    url = create_service(cluster, namespace, "hello", annotations=annotations)["status"]["url"]
    revision = revision_of(cluster, namespace, "hello")
    [event, *more] = cluster.api.wait_for_list(
        "v1",
        "Event",
        namespace,
        lambda events: bool(events),
        timeout_s=30.0,
        what="an Event at the PodAutoscaler",
        fields=f"involvedObject.kind=PodAutoscaler,involvedObject.name={revision},reason=InvalidAnnotation",
    )
    assert (event["type"], more) == ("Warning", [])
    assert "dilu.dev/sm-request = 'plenty', must be a whole number of milli-GPU" in event["message"]
    assert cluster.http(url).status == 200
    assert len(pods_of(cluster, namespace, "hello")) == 1
