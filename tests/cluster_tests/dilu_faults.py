"""What tests of faults need: counted traffic, eyes on the lease and on a scale, hands on processes."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from testcluster.api import Object, is_ready
from testcluster.cluster import Cluster, Response
from testcluster.dilu_install import OURS, SERVING_NAMESPACE, Dilu
from testcluster.errors import ClusterError
from testcluster.services import AUTOSCALE, TARGET, create_service, wait_for_pods

LEASE: Final = ("coordination.k8s.io/v1", "Lease", "autoscaler-bucket-00-of-01", SERVING_NAMESPACE)
LEASE_S: Final = 15.0
RETRY_S: Final = 2.4  # with jitter
SLACK_S: Final = 5.0  # for a busy machine
_PAUSE_S: Final = 0.1
_LOOK_S: Final = 0.5

Look: TypeAlias = Callable[[threading.Event], None]
Condition: TypeAlias = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request."""

    began_s: float
    seconds: float
    status: int  # 0: no answer
    error: str = ""


@dataclass(slots=True, kw_only=True)
class Traffic:
    """What became of all requests so far."""

    asked: list[Asked] = field(default_factory=list)

    @property
    def failed(self) -> list[Asked]:
        """All that were not answered with 200."""
        return [one for one in self.asked if one.status != 200]

    @property
    def slowest_s(self) -> float:
        """How long the slowest took."""
        return max(one.seconds for one in self.asked)

    def __str__(self) -> str:
        return f"{len(self.asked)} requests, {len(self.failed)} failed, slowest {self.slowest_s:.2f} s"


@contextmanager
def traffic(cluster: Cluster, url: str, *, at_once: int = 2, timeout_s: float = 60.0) -> Iterator[Traffic]:
    """Keep a number of requests in flight, all the time; wait for the last ones at the end."""
    seen, over = Traffic(), threading.Event()

    def ask() -> None:
        while not over.wait(_PAUSE_S):
            seen.asked.append(ask_once(cluster, url, timeout_s=timeout_s))

    with ThreadPoolExecutor(at_once) as pool:
        asking = [pool.submit(ask) for _ in range(at_once)]
        try:
            yield seen
        finally:
            over.set()
            for one in asking:
                one.result()


def ask_once(cluster: Cluster, url: str, *, timeout_s: float = 120.0) -> Asked:
    """What became of one request."""
    began_s = time.monotonic()
    try:
        answer: Response | None = cluster.http(url, timeout_s=timeout_s)
        error = ""
    except (OSError, ClusterError) as caught:
        answer, error = None, repr(caught)
    if answer is not None and answer.status != 200:
        error = answer.text[:200]
    status = 0 if answer is None else answer.status
    return Asked(began_s=began_s, seconds=time.monotonic() - began_s, status=status, error=error)


@contextmanager
def request_in_flight(cluster: Cluster, url: str, *, timeout_s: float = 120.0) -> Iterator[Future[Asked]]:
    """One request that was sent when this begins, and is waited for at its end."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(ask_once, cluster, url, timeout_s=timeout_s)


class Holders:
    """Who had the lease, in the order in which it was seen; the API may be away meanwhile."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, str]] = []

    def at(self, now_s: float, holder: str) -> None:
        """Note who has it."""
        if not self.seen or self.seen[-1][1] != holder:
            self.seen.append((now_s, holder))

    @property
    def pods(self) -> list[str]:
        """The pods in order; "" for no holder."""
        return [holder.partition("_")[0] for _, holder in self.seen]


@dataclass(slots=True, kw_only=True)
class Claims:
    """What our pods say of themselves, asked in turn."""

    doubled: list[tuple[str, str]] = field(default_factory=list)
    """Two pods that both held the lease: one of them before and after the other was asked."""
    asked: int = 0


@contextmanager
def lease_watched(cluster: Cluster) -> Iterator[Holders]:
    """Every change of the lease's holder."""
    holders = Holders()

    def look(over: threading.Event) -> None:
        for leases in cluster.api.states(*LEASE[:2], LEASE[3], deadline_s=_soon(), fields=f"metadata.name={LEASE[2]}"):
            holders.at(time.monotonic(), (leases[0]["spec"].get("holderIdentity") or "") if leases else "")
            if over.is_set():
                return

    with _repeating(cluster, look):
        yield holders


@contextmanager
def claims_watched(dilu: Dilu) -> Iterator[Claims]:
    """Whether ever two of our pods hold the lease at once, by their own word."""
    claims = Claims()

    def look(over: threading.Event) -> None:
        pods = dilu.pods()
        for one in pods:
            for other in pods:
                if one is not other and _holds(dilu, one) and _holds(dilu, other) and _holds(dilu, one):
                    claims.doubled.append((one["metadata"]["name"], other["metadata"]["name"]))
        claims.asked += len(pods)
        over.wait(_LOOK_S)

    with _repeating(dilu.cluster, look):
        yield claims


def _holds(dilu: Dilu, pod: Object) -> bool:
    with contextlib.suppress(OSError, ClusterError):
        return any(value == 1 for name, value in dilu.numbers(pod).items() if name.startswith("dilu_bucket_held"))
    return False  # it does not run, so it holds nothing


@dataclass(slots=True, kw_only=True)
class Scales:
    """The replicas of a Deployment's spec, at each poll."""

    seen: list[int] = field(default_factory=list)


@contextmanager
def scale_watched(cluster: Cluster, namespace: str, service: str) -> Iterator[Scales]:
    """Every number of replicas that a service's first revision is given."""
    scales, name = Scales(), f"{service}-00001-deployment"

    def look(over: threading.Event) -> None:
        selected = f"metadata.name={name}"
        for found in cluster.api.states("apps/v1", "Deployment", namespace, deadline_s=_soon(), fields=selected):
            number = found[0]["spec"]["replicas"] if found else 0
            if scales.seen[-1:] != [number]:
                scales.seen.append(number)
            if over.is_set():
                return

    with _repeating(cluster, look):
        yield scales


def _soon() -> float:
    return time.monotonic() + 1.0


@contextmanager
def _repeating(cluster: Cluster, look: Look) -> Iterator[None]:
    """Looks again and again in a thread of its own, also after the API was away."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            try:
                look(over)
            except (OSError, ClusterError):
                over.wait(_LOOK_S)
        cluster.api.close()  # this thread's connection

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def process_of(pod: str) -> int:
    """The process number of a pod's `dilu autoscaler`, as this machine sees it."""
    named = f"POD_NAME={pod}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            is_autoscaler = b"dilu\0autoscaler" in (entry / "cmdline").read_bytes().replace(b"/opt/dilu/bin/", b"")
            if is_autoscaler and named in (entry / "environ").read_bytes().split(b"\0"):
                return int(entry.name)
    raise AssertionError(f"pod {pod} has no process `dilu autoscaler`")


def kill(pod: str) -> None:
    """Kill -9. The kubelet starts the container again, in the same pod."""
    os.kill(process_of(pod), signal.SIGKILL)


@contextmanager
def stopped(pod: str) -> Iterator[None]:
    """The pod's process does not run meanwhile."""
    pid = process_of(pod)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def wait_until(what: str, is_so: Condition, *, timeout_s: float) -> float:
    """How long it took. For what no object of the API tells; that the API is away is no end of it."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < timeout_s:
        with contextlib.suppress(OSError, ClusterError):
            if is_so():
                return time.monotonic() - began_s
        time.sleep(_PAUSE_S)
    raise AssertionError(f"{what}: not within {timeout_s:.0f} s")


def pause_until(at_s: float) -> None:
    """Let a fault last until then (monotonic)."""
    time.sleep(max(0.0, at_s - time.monotonic()))


def with_new_pods(dilu: Dilu) -> Dilu:
    """Both our pods, none of which was ever started again: the kubelet waits longer each time."""
    if any(restarts_of(dilu)):
        dilu.cluster.run("kubectl", "-n", SERVING_NAMESPACE, "rollout", "restart", f"deployment/{OURS}")
        dilu.cluster.run("kubectl", "-n", SERVING_NAMESPACE, "rollout", "status", f"deployment/{OURS}")
    dilu.wait_for_pods(2)
    dilu.wait_for_holder(OURS)
    return dilu


def restarts_of(dilu: Dilu) -> list[int]:
    """How often each of our pods was started again."""
    return [one["status"]["containerStatuses"][0]["restartCount"] for one in dilu.pods()]


def with_activators_settled(cluster: Cluster) -> list[int]:
    """How often each activator was started again, once all are ready."""
    pods: list[Object] = cluster.api.wait_for_list(
        "v1",
        "Pod",
        SERVING_NAMESPACE,
        lambda pods: bool(pods) and all(is_ready(one) for one in pods),
        timeout_s=60.0,
        what="ready activators",
        labels="app=activator",
    )
    return [one["status"]["containerStatuses"][0]["restartCount"] for one in pods]


def busy_service(cluster: Cluster, namespace: str, name: str, *, pods: int) -> BusyService:
    """A service that needs exactly this number of pods for the load of `BusyService.load`."""
    target = {TARGET: "1", "autoscaling.knative.dev/target-utilization-percentage": "100"}
    service = create_service(cluster, namespace, name, image=AUTOSCALE, annotations=target)
    return BusyService(cluster=cluster, namespace=namespace, name=name, url=service["status"]["url"], pods=pods)


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyService:
    """Made by `busy_service`."""

    cluster: Cluster
    namespace: str
    name: str
    url: str
    pods: int

    @contextmanager
    def load(self) -> Iterator[tuple[Traffic, Scales]]:
        """As many requests at once as pods are needed; begins when they are there. Its scale is watched from then."""
        with traffic(self.cluster, f"{self.url}?sleep=1000", at_once=self.pods) as seen:
            wait_for_pods(self.cluster, self.namespace, self.name, at_least=self.pods - 1)
            with scale_watched(self.cluster, self.namespace, self.name) as scales:
                yield seen, scales
