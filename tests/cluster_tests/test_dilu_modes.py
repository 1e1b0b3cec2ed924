"""The chart's modes on a real Knative, its own test, and an installation that is refused."""

from __future__ import annotations

import pytest

from cluster_tests.dilu_faults import wait_until
from testcluster.cluster import Cluster
from testcluster.dilu_install import OURS, SERVING_NAMESPACE, STOCK, Dilu
from testcluster.errors import ClusterError
from testcluster.services import create_service, wait_for_zero

MIN_SCALE = "autoscaling.knative.dev/min-scale"
WHAT_AN_AUTOSCALER_WRITES = (
    ("autoscaling.internal.knative.dev/v1alpha1", "PodAutoscaler"),
    ("autoscaling.internal.knative.dev/v1alpha1", "Metric"),
    ("networking.internal.knative.dev/v1alpha1", "ServerlessService"),
    ("apps/v1", "Deployment"),
)
TICKS = 12.0  # of each of ours, which a revision has every 2 s


def versions(cluster: Cluster) -> dict[tuple[str, str, str], str]:
    """The version of each object that an autoscaler could have written."""
    return {
        (kind, one["metadata"]["namespace"], one["metadata"]["name"]): one["metadata"]["resourceVersion"]
        for api_version, kind in WHAT_AN_AUTOSCALER_WRITES
        for one in cluster.api.items(api_version, kind)
    }


def events_of(cluster: Cluster, namespace: str, component: str) -> list[str]:
    """What a component has said by Events."""
    return [
        one.get("message", "")
        for one in cluster.api.items("v1", "Event", namespace)
        if (one.get("source") or {}).get("component") == component or one.get("reportingComponent") == component
    ]


def ticks(dilu: Dilu) -> list[float]:
    """How often each of ours has decided."""
    return [dilu.numbers(pod)["dilu_ticks_total"] for pod in dilu.pods()]


def requested(dilu: Dilu, namespace: str, service: str) -> list[float]:
    """How many pods each of ours would have for a service."""
    start = f'dilu_revision_requested_replicas{{configuration="{service}",namespace="{namespace}"'
    return [value for pod in dilu.pods() for name, value in dilu.numbers(pod).items() if name.startswith(start)]


def test_helm_test_says_that_each_replica_answers_and_the_lease_is_renewed(dilu: Dilu) -> None:
    said = dilu.test()
    assert "Service autoscaler: answers" in said
    assert [f"{pod['metadata']['name']}: answers" in said for pod in dilu.pods()] == [True, True]
    assert f"autoscaler-bucket-00-of-01: {dilu.holder()}, renewed" in said


def test_a_second_installation_is_refused_and_changes_nothing(cluster: Cluster, dilu: Dilu) -> None:
    before, pods = versions(cluster), [pod["metadata"]["uid"] for pod in dilu.pods()]
    with pytest.raises(
        ClusterError, match=f'Dilu is installed already, as release "dilu" in namespace "{SERVING_NAMESPACE}"'
    ):
        dilu.install(release="another")
    assert [pod["metadata"]["uid"] for pod in dilu.pods()] == pods
    ours = ("Deployment", SERVING_NAMESPACE, OURS)
    assert versions(cluster)[ours] == before[ours]


@pytest.mark.slow
@pytest.mark.timeout(600, func_only=True)
def test_observe_decides_as_knative_does_and_writes_nothing(
    cluster: Cluster, namespace: str, stock_in_place: Dilu
) -> None:
    dilu = stock_in_place
    create_service(cluster, namespace, "running", annotations={MIN_SCALE: "1", "dilu.dev/sm-request": "plenty"})
    url = create_service(cluster, namespace, "asleep")["status"]["url"]
    wait_for_zero(cluster, namespace, "asleep")
    stock = [pod["metadata"]["uid"] for pod in dilu.pods(STOCK)]
    dilu.install(mode="observe")
    wait_until("each of ours decides", lambda: all(count > 0.0 for count in ticks(dilu)), timeout_s=60.0)
    before, counted = versions(cluster), ticks(dilu)

    def decides_again() -> bool:
        return all(now >= then + TICKS for now, then in zip(ticks(dilu), counted, strict=True))

    wait_until("each of ours decides again", decides_again, timeout_s=90.0)
    assert requested(dilu, namespace, "running") == [1.0, 1.0]
    assert not any(requested(dilu, namespace, "asleep"))  # no number at all: no activator reports to ours
    assert versions(cluster) == before
    assert events_of(cluster, namespace, OURS) == []
    assert dilu.holder().startswith(f"{STOCK}-")
    assert [pod["metadata"]["uid"] for pod in dilu.pods(STOCK)] == stock
    assert cluster.http(url).status == 200
    assert "answers" in dilu.test()


@pytest.mark.slow
@pytest.mark.timeout(600, func_only=True)
def test_coexist_decides_behind_knatives_own_which_passes_on_what_it_hears(
    cluster: Cluster, namespace: str, stock_in_place: Dilu
) -> None:
    dilu = stock_in_place
    url = create_service(cluster, namespace, "hello")["status"]["url"]
    before = dilu.holder()
    dilu.install(mode="coexist")
    assert (dilu.holder(), dilu.stock_replicas()) == (before, 1)
    restart = ("kubectl", "-n", SERVING_NAMESPACE, "rollout", "restart", f"deployment/{STOCK}")
    cluster.run(*restart)  # what docs/install.md says
    holder = dilu.wait_for_holder(OURS)
    cluster.run("kubectl", "-n", SERVING_NAMESPACE, "rollout", "status", f"deployment/{STOCK}", timeout_s=90.0)
    wait_for_zero(cluster, namespace, "hello")
    assert cluster.http(url).status == 200
    assert (dilu.holder(), len(dilu.pods(STOCK))) == (holder, 1)
    assert "renewed" in dilu.test()
    dilu.uninstall()
    assert dilu.holder().startswith(f"{STOCK}-")
    assert dilu.stock_replicas() == 1
