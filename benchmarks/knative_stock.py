"""Stock Knative on a real Kubernetes: the yardstick for our autoscaler.

    python benchmarks/knative_stock.py [--quick] [--knative RELEASE]

Needs root; builds the cluster first if it is not in the cache (docs/test-cluster.md), and leaves nothing running.

* 0 → first answer: from the request to the whole answer of a function that has no pod; the image is on the node.
* What the autoscaler uses at rest: revisions with no pod and no traffic, over a minute, from its control group.
* Knative's own tests of its autoscaler, as they are.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import harness
from harness import BenchmarkError

sys.path.insert(0, str(harness.ROOT / "tools"))  # the test cluster is a tool, not part of the package

from testcluster import knative_tests, services
from testcluster.build import build_knative_tests
from testcluster.cluster import Cluster
from testcluster.errors import ClusterError
from testcluster.lifecycle import down, up
from testcluster.parts import DEFAULT_KNATIVE, KUBERNETES_VERSION, knative_release
from testcluster.usage import Usage, container_usage

NAME: Final = "knative_stock"
CLUSTER: Final = "dilu-bench"
NAMESPACE: Final = "bench"
_SETTLE_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured."""

    services: int  # cold starts of one round
    rounds: int
    revisions: tuple[int, ...]
    rest_s: float
    own_tests: tuple[str, ...]


FULL: Final = Sizes(services=4, rounds=5, revisions=(1, 50, 200), rest_s=60.0, own_tests=knative_tests.AUTOSCALING)
QUICK: Final = Sizes(services=2, rounds=1, revisions=(1, 10), rest_s=10.0, own_tests=())


@contextmanager
def running(release: str) -> Iterator[Cluster]:
    """Run a cluster of this benchmark's own until the end of the block."""
    try:
        cluster = up(CLUSTER, release)
    except ClusterError as error:
        raise BenchmarkError(str(error)) from error
    try:
        yield cluster
    except ClusterError as error:
        raise BenchmarkError(str(error)) from error
    finally:
        cluster.api.close()
        down(CLUSTER)


def cold_starts_s(cluster: Cluster, sizes: Sizes) -> list[float]:
    """Return the seconds from a request to its answer, each time without a pod of the function."""
    names = [f"cold-{number}" for number in range(sizes.services)]
    urls = {name: services.create_service(cluster, NAMESPACE, name)["status"]["url"] for name in names}
    found: list[float] = []
    for turn in range(sizes.rounds):
        for name in names:
            services.wait_for_zero(cluster, NAMESPACE, name)
        found += [cold_start_s(cluster, urls[name]) for name in names]
        middle = statistics.median(found)
        harness.progress(f"cold starts, round {turn + 1} of {sizes.rounds}: median so far {middle:.2f} s")
    services.remove_namespace(cluster, NAMESPACE)
    return found


def cold_start_s(cluster: Cluster, url: str) -> float:
    """Return the seconds of one of them."""
    began_s = time.monotonic()
    answer = cluster.http(url)
    took_s = time.monotonic() - began_s
    if answer.status != 200:
        raise BenchmarkError(f"{url} from zero: {answer.status} {answer.text[:80]!r}")
    return took_s


@dataclass(frozen=True, slots=True, kw_only=True)
class AtRest:
    """What the autoscaler uses while nothing happens."""

    revisions: int
    cpu_milli: float
    memory_mib: float


def at_rest(cluster: Cluster, sizes: Sizes) -> list[AtRest]:
    """Measure the use at rest for each number of revisions, which only grows."""
    namespace = f"{NAMESPACE}-rest"
    services.new_namespace(cluster, namespace)
    # With no pod to begin with, 200 revisions are at rest at once, and a small machine can have them.
    data = {"allow-zero-initial-scale": "true"}
    cluster.api.patch("v1", "ConfigMap", "config-autoscaler", "knative-serving", {"data": data})
    found: list[AtRest] = []
    there = 0
    for count in sizes.revisions:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: add_revision(cluster, namespace, number), range(there, count)))
        there = count
        time.sleep(_SETTLE_S)
        found.append(rest(cluster, count, sizes.rest_s))
        harness.progress(f"{count} revisions at rest: {found[-1].cpu_milli:.1f} mCPU, {found[-1].memory_mib:.1f} MiB")
    return found


def add_revision(cluster: Cluster, namespace: str, number: int) -> None:
    """Make a service with one revision and no pod."""
    annotations = {"autoscaling.knative.dev/initial-scale": "0"}
    services.create_service(cluster, namespace, f"rest-{number}", annotations=annotations, ready_s=300)
    cluster.api.close()  # a thread has a connection of its own


def rest(cluster: Cluster, revisions: int, seconds: float) -> AtRest:
    """Return the autoscaler's use over this time."""
    before = autoscaler_usage(cluster)
    time.sleep(seconds)
    after = autoscaler_usage(cluster)
    cpu_milli = (after.cpu_s - before.cpu_s) / seconds * 1000
    return AtRest(revisions=revisions, cpu_milli=cpu_milli, memory_mib=after.memory_mib)


def autoscaler_usage(cluster: Cluster) -> Usage:
    """Return what the autoscaler has used so far."""
    [pod] = cluster.api.items("v1", "Pod", "knative-serving", labels="app=autoscaler")
    return container_usage(cluster, pod, "autoscaler")


def own_tests(cluster: Cluster, sizes: Sizes) -> list[knative_tests.Outcome]:
    """Run Knative's own tests of its autoscaler."""
    if not sizes.own_tests:
        return []
    program = build_knative_tests(knative_release(cluster.record.knative))
    knative_tests.prepare(cluster)
    found = []
    for name in sizes.own_tests:
        found.append(knative_tests.run_test(cluster, program, name))
        harness.progress(f"{name}: {found[-1].verdict} in {found[-1].took_s:.0f} s")
    return found


def rows(
    cold_s: Sequence[float], rested: Sequence[AtRest], own: Sequence[knative_tests.Outcome]
) -> list[dict[str, object]]:
    """Return the yardstick: no peer and no goal."""
    found = [
        harness.row("0 → first answer, p50", statistics.median(cold_s), "s"),
        harness.row("0 → first answer, p95", harness.percentile(cold_s, 95), "s"),
    ]
    for one in rested:
        found.append(harness.row(f"autoscaler CPU, {one.revisions} revisions at rest", one.cpu_milli, "mCPU"))
        found.append(harness.row(f"autoscaler memory, {one.revisions} revisions", one.memory_mib, "MiB"))
    found += [harness.row(f"Knative's own {one.name}", float(one.passed), "passed") for one in own]
    return found


def measure(release: str, sizes: Sizes) -> tuple[list[dict[str, object]], dict[str, Any]]:
    """Return the rows and the details."""
    with running(release) as cluster:
        own = own_tests(cluster, sizes)  # first: they need the cluster as it is after its start
        services.new_namespace(cluster, NAMESPACE)
        cold_s = cold_starts_s(cluster, sizes)
        rested = at_rest(cluster, sizes)
    details: dict[str, Any] = {
        "knative": release,
        "kubernetes": KUBERNETES_VERSION,
        "kernel": platform.release(),
        "cold_starts_s": [round(one, 3) for one in cold_s],
        "at_rest": [asdict(one) for one in rested],
        "own_tests": [described(one) for one in own],
        "sizes": asdict(sizes),
    }
    return rows(cold_s, rested, own), details


def described(outcome: knative_tests.Outcome) -> dict[str, object]:
    """Return one of Knative's own tests for the result file."""
    took_s = round(outcome.took_s, 1)
    return {"name": outcome.name, "verdict": outcome.verdict, "took_s": took_s, "output": tail(outcome)}


def tail(outcome: knative_tests.Outcome) -> list[str]:
    """Return the end of the output of a failed test; nothing of one that passed."""
    lines = [line[:300] for line in outcome.output.splitlines() if "crd.go" not in line]
    return [] if outcome.passed else lines[-30:]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--knative", default=DEFAULT_KNATIVE, metavar="RELEASE", help="Knative's release")


def main() -> None:
    options = harness.arguments(__doc__, _options)
    if os.geteuid() != 0:
        raise BenchmarkError("a cluster needs root: run it with sudo")
    table, details = measure(options.knative, QUICK if options.quick else FULL)
    harness.write_result(NAME, table, details=details, options=options)


if __name__ == "__main__":
    main()
