"""Knative's autoscaler and ours take turns while requests go on: none of them fails."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from cluster_tests.dilu_faults import Asked, ask_once, traffic
from testcluster.cluster import Cluster
from testcluster.dilu_install import OURS, STOCK, Dilu
from testcluster.services import create_service, pods_of

ASLEEP = 8  # services, of which each has time to go to zero again until its next turn
PAUSE_S = 2.0
BETWEEN = 3  # requests from zero between two hand-overs
FROM_ZERO_S = 90.0


class FromZero:
    """What became of requests to services that had no pod."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._news: queue.Queue[Asked] = queue.Queue()

    def add(self, asked: Asked) -> None:
        """Add one more."""
        self.asked.append(asked)
        self._news.put(asked)

    def wait_for(self, count: int) -> None:
        """Return after `count` more requests."""
        for _ in range(count):
            self._news.get(timeout=FROM_ZERO_S)

    def __str__(self) -> str:
        slowest_s = max((one.seconds for one in self.asked), default=0.0)
        return f"{len(self.asked)} requests from zero, slowest {slowest_s:.2f} s"


@contextmanager
def woken(cluster: Cluster, namespace: str, urls: Sequence[tuple[str, str]]) -> Iterator[FromZero]:
    """Every few seconds a request to the next service (name, URL) that has no pod."""
    seen, over = FromZero(), threading.Event()

    def wake() -> None:
        while not over.is_set():
            for name, url in urls:
                if not over.wait(PAUSE_S) and not pods_of(cluster, namespace, name):
                    seen.add(ask_once(cluster, url))
        cluster.api.close()  # this thread's connection

    thread = threading.Thread(target=wake)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.timeout(900, func_only=True)
def test_hand_over_to_ours_and_back_and_again_fails_no_request(
    cluster: Cluster, namespace: str, stock_in_place: Dilu
) -> None:
    dilu = stock_in_place
    running = create_service(cluster, namespace, "running", annotations={"autoscaling.knative.dev/min-scale": "1"})
    names = [f"asleep-{number}" for number in range(ASLEEP)]
    asleep = [(name, create_service(cluster, namespace, name)["status"]["url"]) for name in names]
    with traffic(cluster, running["status"]["url"]) as steady, woken(cluster, namespace, asleep) as from_zero:
        from_zero.wait_for(BETWEEN)
        for hand_over, holder in ((dilu.install, OURS), (dilu.uninstall, STOCK), (dilu.install, OURS)):
            hand_over()
            assert dilu.holder().startswith(f"{holder}-")
            from_zero.wait_for(BETWEEN)
    print(f"running: {steady}; {from_zero}")
    assert steady.failed == []
    assert [one for one in from_zero.asked if one.status != 200] == []
    assert len(from_zero.asked) > 4 * BETWEEN
