"""From no pod to the answer on a whole cluster: Knative's autoscaler and ours alternate in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import harness
from autoscaler_comparison.contestants import LEASE, OURS
from autoscaler_comparison.sizes import Sizes, in_turn
from autoscaler_comparison.world import SYSTEM_NAMESPACE
from harness import BenchmarkError
from knative_stock import cold_start_s
from testcluster import services
from testcluster.cluster import Cluster
from testcluster.errors import ClusterError
from testcluster.lifecycle import down, up
from testcluster.python_images import AUTOSCALER_IMAGE, build_python_images

NAMESPACE: Final = "bench"
RELEASE: Final = "dilu"
CHART: Final = harness.ROOT / "charts" / "dilu"
_INSTALL_S: Final = 300.0
_HELD_S: Final = 90.0


def measure_cold_starts(name: str, release: str, sizes: Sizes, names: Sequence[str]) -> dict[str, list[float]]:
    """Return the seconds from a request to its answer, each time without a pod of the function, by autoscaler."""
    found: dict[str, list[float]] = {one: [] for one in names}
    with running_cluster(name, release) as cluster:
        if OURS in names:
            load_our_image(cluster)
        services.new_namespace(cluster, NAMESPACE)
        functions = [f"cold-{number}" for number in range(sizes.services)]
        urls = {one: services.create_service(cluster, NAMESPACE, one)["status"]["url"] for one in functions}
        for turn in range(sizes.rounds):
            for contestant in in_turn(names, turn):
                with in_place(cluster, contestant):
                    found[contestant] += one_round_s(cluster, urls)
                middle_s = harness.percentile(found[contestant], 50)
                harness.progress(
                    f"cold starts, {contestant}, round {turn + 1} of {sizes.rounds}: {middle_s:.2f} s so far"
                )
    return found


@contextmanager
def running_cluster(name: str, release: str) -> Iterator[Cluster]:
    """Run a cluster of this benchmark's own until the end of the block."""
    try:
        cluster = up(name, release)
    except ClusterError as error:
        raise BenchmarkError(str(error)) from error
    try:
        yield cluster
    except ClusterError as error:
        raise BenchmarkError(str(error)) from error
    finally:
        cluster.api.close()
        down(name)


def load_our_image(cluster: Cluster) -> None:
    """Build the image of our autoscaler, and load it on the node."""
    cluster.load_image(build_python_images().autoscaler)


@contextmanager
def in_place(cluster: Cluster, contestant: str) -> Iterator[None]:
    """Let this autoscaler alone decide until the end of the block; after it Knative's own does again."""
    if contestant != OURS:
        _wait_until_held_by(cluster, "autoscaler-")
        yield
        return
    helm = ("helm", "--namespace", SYSTEM_NAMESPACE)
    cluster.run(*helm, "install", RELEASE, str(CHART), "--wait", *_values(), timeout_s=_INSTALL_S)
    try:
        _wait_until_held_by(cluster, "dilu-autoscaler-")
        yield
    finally:
        cluster.run(*helm, "uninstall", RELEASE, "--wait", timeout_s=_INSTALL_S)


def _wait_until_held_by(cluster: Cluster, pods: str) -> None:
    """Wait until a pod whose name begins with `pods` holds the lease."""
    cluster.api.wait_for(
        "coordination.k8s.io/v1",
        "Lease",
        LEASE,
        SYSTEM_NAMESPACE,
        lambda lease: str(lease["spec"].get("holderIdentity") or "").startswith(pods),
        timeout_s=_HELD_S,
        what=f"the lease held by {pods}…",
    )


def _values() -> Iterator[str]:
    repository, _, tag = AUTOSCALER_IMAGE.rpartition(":")
    for name, value in {"repository": repository, "tag": tag, "pullPolicy": "Never"}.items():
        yield from ("--set", f"autoscaler.image.{name}={value}")


def one_round_s(cluster: Cluster, urls: Mapping[str, str]) -> list[float]:
    """Measure one cold start of each function."""
    for name in urls:
        services.wait_for_zero(cluster, NAMESPACE, name)
    return [cold_start_s(cluster, url) for url in urls.values()]
