"""The cost of knowing all pods of a cluster: our informer beside the one of the package `kubernetes`.

    python benchmarks/kube_client.py [--quick] [--cluster NAME]

Needs root: it runs a cluster (docs/test-cluster.md), or uses the one named. Pods look as Knative's do, with the status
of a running one, and belong to no node, so that nothing but this script changes them. Both informers watch the same
pods at the same time, each in a process of its own.

* CPU of one watched event: a pod's condition changes, the informer's handler counts it.
* Memory with all pods known, beyond what the process had after its imports; private pages only.
* The import of the client, and the CPU of the first list.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import harness
from harness import BenchmarkError

sys.path.insert(0, str(harness.ROOT / "tools"))  # the test cluster is a tool, not part of the package

from testcluster import services
from testcluster.cluster import Cluster, open_cluster
from testcluster.errors import ClusterError
from testcluster.lifecycle import down, up
from testcluster.parts import KUBERNETES_VERSION

NAME: Final = "kube_client"
CLUSTER: Final = "dilu-bench"
NAMESPACE: Final = "bench-pods"
PODS_OF_A_REVISION: Final = 3
WATCHER: Final = harness.ROOT / "benchmarks" / "apps" / "watch_pods.py"
OURS: Final = "ours"
PACKAGE: Final = "package"
IMPORTS: Final = {
    OURS: "import dilu_kube.informers",
    PACKAGE: "import kubernetes.informer, kubernetes.client; kubernetes.client.CoreV1Api; kubernetes.client.V1Pod",
}
_THREADS: Final = 4
_SETTLE_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured."""

    pods: int
    events: int
    rounds: int
    imports: int


FULL: Final = Sizes(pods=3000, events=2000, rounds=3, imports=9)
QUICK: Final = Sizes(pods=300, events=300, rounds=1, imports=3)


@contextmanager
def running(name: str | None) -> Iterator[Cluster]:
    """Open the named cluster, or run one of this benchmark's own."""
    try:
        cluster = open_cluster(name) if name else up(CLUSTER)
    except ClusterError as error:
        raise BenchmarkError(str(error)) from error
    try:
        yield cluster
    except ClusterError as error:
        raise BenchmarkError(str(error)) from error
    finally:
        cluster.api.close()
        if not name:
            down(CLUSTER)


def pod(number: int, owner_uid: str) -> dict[str, Any]:
    """Return one much as Knative and the kubelet write it."""
    revision = f"shop-{number // PODS_OF_A_REVISION:05}"
    labels = {
        "app": revision,
        "pod-template-hash": "7f9c6d5b44",
        **{f"serving.knative.dev/{key}": f"{revision}-{key}" for key in ("configuration", "revisionUID", "service")},
        "serving.knative.dev/revision": revision,
    }
    annotations = {
        "autoscaling.knative.dev/target": "10",
        "dilu.dev/sm-request": "300",
        "serving.knative.dev/creator": "system:serviceaccount:ci:deployer",
    }
    owner = {
        "apiVersion": "v1",
        "kind": "ConfigMap",  # in place of a ReplicaSet, which its controller would act on
        "name": owner_of(number),
        "uid": owner_uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name_of(number),
            "namespace": NAMESPACE,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner],
        },
        "spec": {"schedulerName": "none", "containers": [container("user-container", 6), container("queue-proxy", 38)]},
    }


def owner_of(number: int) -> str:
    return f"shop-{number // PODS_OF_A_REVISION:05}-deployment-7f9c6d5b44"


def name_of(number: int) -> str:
    return f"{owner_of(number)}-{number:05}"


def container(name: str, variables: int) -> dict[str, Any]:
    """Return a container with `variables` environment variables."""
    return {
        "name": name,
        "image": f"registry.example.com/team/{name}@sha256:{'ab' * 32}",
        "env": [{"name": f"SETTING_{number}", "value": f"value-of-setting-{number}"} for number in range(variables)],
        "resources": {"requests": {"cpu": "25m"}, "limits": {"memory": "400Mi"}},
        "readinessProbe": {"httpGet": {"port": 8012, "httpHeaders": [{"name": "K-Network-Probe", "value": "queue"}]}},
    }


def status(number: int, *, ready: bool) -> dict[str, Any]:
    """Return the status that a kubelet would write."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    names = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    conditions = [
        {"type": name, "status": str(ready or name not in ("Ready", "ContainersReady")), "lastTransitionTime": now}
        for name in names
    ]
    containers = [
        {
            "name": name,
            "ready": ready,
            "started": True,
            "restartCount": 0,
            "image": f"registry.example.com/team/{name}",
            "imageID": f"registry.example.com/team/{name}@sha256:{'ab' * 32}",
            "containerID": f"containerd://{number:064x}",
            "state": {"running": {"startedAt": now}},
        }
        for name in ("user-container", "queue-proxy")
    ]
    address = f"10.88.{number // 250}.{number % 250}"
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": now,
        "conditions": conditions,
        "containerStatuses": containers,
    }


def in_threads(cluster: Cluster, work: Any, numbers: Sequence[int]) -> None:
    """Do the work for each number, some at a time."""

    def part(offset: int) -> None:
        for number in numbers[offset::_THREADS]:
            work(number)
        cluster.api.close()  # a thread has a connection of its own

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(part, range(_THREADS)))


def make_pods(cluster: Cluster, count: int) -> int:
    """Make `count` running pods; return the bytes of one as the API sends it."""
    services.new_namespace(cluster, NAMESPACE)

    owners: dict[str, str] = {}

    def make_owner(number: int) -> None:
        metadata = {"name": owner_of(number), "namespace": NAMESPACE}
        made = cluster.api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
        owners[owner_of(number)] = made["metadata"]["uid"]

    def make(number: int) -> None:
        cluster.api.create(pod(number, owners[owner_of(number)]))
        set_status(cluster, number, ready=True)

    in_threads(cluster, make_owner, range(0, count, PODS_OF_A_REVISION))
    in_threads(cluster, make, range(count))
    return len(cluster.api.text(f"/api/v1/namespaces/{NAMESPACE}/pods/{name_of(0)}"))


def set_status(cluster: Cluster, number: int, *, ready: bool) -> None:
    """Cause one event for the watchers."""
    change = {"status": status(number, ready=ready)}
    cluster.api.patch("v1", "Pod", name_of(number), NAMESPACE, change, part="status")


class Watcher:
    """A process that watches, and its reports."""

    def __init__(self, cluster: Cluster, which: str, pods: int) -> None:
        command = cluster.command([sys.executable, str(WATCHER), which, NAMESPACE, str(pods)])
        self.which = which
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **cluster.environment()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.imported = self._next_report("imported")
        self.synced = self._next_report("synced")
        if self.synced["objects"] != pods:
            raise BenchmarkError(f"{which} knows {self.synced['objects']} pods of {pods}")

    def mark(self) -> dict[str, Any]:
        """Return what it has used so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._next_report("mark")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10 if self.which == OURS else 1)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the package's informer waits for an event before it checks whether to end
            self._process.wait()
        self._process.stdout.close()

    def _next_report(self, what: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(f"the watcher {self.which} ended before it was {what}")
        report: dict[str, Any] = json.loads(line)
        if report["what"] != what:
            raise BenchmarkError(f"the watcher {self.which} reported {report['what']}, not {what}")
        return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of one contestant."""

    event_us: tuple[float, ...]  # by round
    pod_kib: float
    whole_mib: float
    list_ms: float
    import_ms: tuple[float, ...]


def measure(cluster: Cluster, sizes: Sizes) -> tuple[dict[str, Cost], dict[str, Any]]:
    """Measure the cost of each."""
    size_bytes = make_pods(cluster, sizes.pods)
    harness.progress(f"{sizes.pods} pods of {size_bytes} bytes")
    with ExitStack() as stack:
        watchers = [Watcher(cluster, which, sizes.pods) for which in (OURS, PACKAGE)]
        for one in watchers:
            stack.callback(one.close)
        events_us: list[dict[str, float]] = []
        for turn in range(sizes.rounds):
            events_us.append(cpu_of_events(cluster, watchers, sizes, ready=bool(turn % 2)))
            harness.progress(f"round {turn + 1} of {sizes.rounds}: µs an event {events_us[-1]}")
        marks = {one.which: one.mark() for one in watchers}
    imports = import_times_ms(sizes.imports)
    costs = {
        one.which: Cost(
            event_us=tuple(turn[one.which] for turn in events_us),
            pod_kib=(one.synced["mib"] - one.imported["mib"]) * 1024 / sizes.pods,
            whole_mib=marks[one.which]["mib"],
            list_ms=(one.synced["cpu_s"] - one.imported["cpu_s"]) * 1e3,
            import_ms=imports[one.which],
        )
        for one in watchers
    }
    return costs, {"pod_bytes": size_bytes, "event_us": events_us}


def cpu_of_events(cluster: Cluster, watchers: Sequence[Watcher], sizes: Sizes, *, ready: bool) -> dict[str, float]:
    """Return the microseconds of an event in one round, by contestant."""
    before = {one.which: one.mark() for one in watchers}
    in_threads(cluster, lambda number: set_status(cluster, number % sizes.pods, ready=ready), range(sizes.events))
    after = {one.which: wait_for(one, before[one.which]["events"] + sizes.events) for one in watchers}
    found = {}
    for which, mark in after.items():
        events = mark["events"] - before[which]["events"]
        found[which] = round((mark["cpu_s"] - before[which]["cpu_s"]) / events * 1e6, 1)
    return found


def wait_for(watcher: Watcher, events: int) -> dict[str, Any]:
    """Wait until it has seen `events` events, and return what it has used."""
    deadline_s = time.monotonic() + _SETTLE_S
    while (mark := watcher.mark())["events"] < events:
        if time.monotonic() > deadline_s:
            raise BenchmarkError(f"{watcher.which} has seen {mark['events']} events of {events}")
        time.sleep(0.5)
    return mark


def import_times_ms(count: int) -> dict[str, tuple[float, ...]]:
    """Return the CPU times of the import in fresh processes, alternately."""
    program = "import time; began_s = time.process_time(); {}; print((time.process_time() - began_s) * 1e3)"
    found: dict[str, list[float]] = {which: [] for which in IMPORTS}
    for _ in range(count + 1):
        for which, statement in IMPORTS.items():
            command = [sys.executable, "-c", program.format(statement)]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found[which].append(float(printed))
    return {which: tuple(times[1:]) for which, times in found.items()}  # the first fills the page cache


def rows(costs: dict[str, Cost], pods: int) -> list[dict[str, object]]:
    """Return ours beside the package's."""
    ours, package = costs[OURS], costs[PACKAGE]

    def beside(metric: str, field: str, unit: str, goal: str | None = None) -> dict[str, object]:
        value, peer = getattr(ours, field), getattr(package, field)
        return harness.row(metric, value, unit, peer="kubernetes SharedInformer", peer_value=peer, goal=goal)

    return [
        beside("CPU of a watched pod event", "event_us", "µs", "ratio <= 0.5"),
        beside("memory of a pod", "pod_kib", "KiB", "ratio <= 0.5"),
        beside(f"process that knows {pods} pods", "whole_mib", "MiB", "ratio <= 0.5"),
        beside(f"CPU of the first list, {pods} pods", "list_ms", "ms"),
        beside("CPU of the import", "import_ms", "ms"),
    ]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cluster", metavar="NAME", help="a cluster that runs, instead of one of its own")


def main() -> None:
    options = harness.arguments(__doc__, _options)
    if os.geteuid() != 0:
        raise BenchmarkError("a cluster needs root: run it with sudo")
    sizes = QUICK if options.quick else FULL
    with running(options.cluster) as cluster:
        try:
            costs, details = measure(cluster, sizes)
        finally:
            services.remove_namespace(cluster, NAMESPACE)
    details |= {"kubernetes": KUBERNETES_VERSION, "sizes": asdict(sizes)}
    details["costs"] = {which: asdict(cost) for which, cost in costs.items()}
    packages = ("kubernetes", "aiohttp", "msgspec", "uvloop", "pydantic")
    harness.write_result(NAME, rows(costs, sizes.pods), details=details, options=options, packages=packages)


if __name__ == "__main__":
    main()
