"""How long from a report of an activator to the change of a Deployment that is at zero."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import harness
from autoscaler_comparison import manifests
from autoscaler_comparison.activator import Activator, connected
from autoscaler_comparison.manifests import IDLE_LABEL, NAMESPACE, Revision
from autoscaler_comparison.world import World
from harness import BenchmarkError
from testcluster.network import API_PORT, NODE_IP
from testcluster.sockets import ClusterConnection, client_context

_DECIDED_S: Final = 300.0  # stock is that late if it has more pods than it can scrape
_SCALED_S: Final = 30.0
# Apart enough that Knative's client, which may send ten requests a second, never has to wait for its turn.
_APART_S: Final = (0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pokes:
    """Seconds of each start from zero."""

    busy_revisions: int  # that were scraped meanwhile
    took_s: tuple[float, ...]

    @property
    def p50_s(self) -> float:
        """The median."""
        return statistics.median(self.took_s)


class Replicas:
    """When the Deployments at zero were first seen with a pod, by name."""

    def __init__(self) -> None:
        self._seen_s: dict[str, float] = {}
        self._changed = threading.Condition()
        self._error: Exception | None = None

    def wait_for(self, name: str, timeout_s: float) -> float:
        """Return the monotonic time of the change."""
        with self._changed:
            self._changed.wait_for(lambda: name in self._seen_s or self._error is not None, timeout_s)
            if name not in self._seen_s:
                why = self._error or f"not within {timeout_s:.0f} s"
                raise BenchmarkError(f"Deployment {name} from zero: {why}")
            return self._seen_s[name]

    def read(self, connection: ClusterConnection) -> None:
        """Read a watch until its connection is closed; the body of a thread."""
        try:
            response = connection.getresponse()
            while line := response.readline():
                now_s = time.monotonic()
                event = json.loads(line)
                if event["type"] == "MODIFIED" and event["object"]["spec"]["replicas"] > 0:
                    with self._changed:
                        self._seen_s.setdefault(event["object"]["metadata"]["name"], now_s)
                        self._changed.notify_all()
        except Exception as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()


@contextlib.contextmanager
def watched(world: World) -> Iterator[Replicas]:
    """Watch the Deployments at zero until the end of the block."""
    pki = world.places.certificates
    context = client_context(str(pki / "ca.crt"), str(pki / "admin.crt"), str(pki / "admin.key"))
    connection = ClusterConnection(world.sandbox.network, NODE_IP, API_PORT, timeout_s=600.0, context=context)
    path = world.api.kind(*manifests.DEPLOYMENTS).path(NAMESPACE)
    version = world.api.request("GET", f"{path}?limit=1")["metadata"]["resourceVersion"]
    replicas = Replicas()
    with contextlib.closing(connection):
        connection.request("GET", f"{path}?watch=true&labelSelector={IDLE_LABEL}&resourceVersion={version}")
        stream: socket.socket = connection.sock
        thread = threading.Thread(target=replicas.read, args=(connection,), name="watch")
        thread.start()
        try:
            yield replicas
        finally:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
            thread.join()


def measure_pokes(world: World, revisions: Sequence[Revision], *, count: int, busy_revisions: int) -> Pokes:
    """Measure the first `count` revisions, one after another, with the autoscaler that holds the lease."""
    took_s = []
    with watched(world) as replicas, connected(world) as activator:
        _wait_until_decided(world, activator, revisions)
        for revision in revisions[:count]:
            time.sleep(random.uniform(*_APART_S))
            sent_s = activator.poke(revision.key)
            took_s.append(replicas.wait_for(revision.deployment, _SCALED_S) - sent_s)
            activator.is_over(revision.key)
            activator.check()
    found = Pokes(busy_revisions=busy_revisions, took_s=tuple(took_s))
    harness.progress(f"  report → /scale: p50 {found.p50_s * 1000:.1f} ms, worst {max(took_s) * 1000:.1f} ms")
    return found


def _wait_until_decided(world: World, activator: Activator, revisions: Sequence[Revision]) -> None:
    """Report each revision until it has a decision for zero: before that, a new autoscaler ignores a first request."""
    for revision in revisions:
        activator.watch(revision.key)
    world.api.wait_for_list(
        *manifests.POD_AUTOSCALERS,
        NAMESPACE,
        lambda found: all(one["status"].get("desiredScale") == 0 for one in found),
        timeout_s=_DECIDED_S,
        what="a decision for zero of each idle revision",
        labels=IDLE_LABEL,
    )
    for revision in revisions:
        activator.is_over(revision.key)
