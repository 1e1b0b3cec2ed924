"""The replicas of one function that requests go to, for the gateway's queue and for the reading of statistics."""

from __future__ import annotations

import asyncio

from dilu.http.client.upstream import Upstream
from dilu_autoscaler.local.backends import Backend, Backends
from dilu_autoscaler.local.replicas import ReplicaProcess

# Time to read what an ended process had written, before its connections are cut.
_READ_REST_S = 0.1


class RoutedReplicas:
    """Adds replicas to the gateway's backends and takes them out again."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._routed: dict[str, tuple[Backend, Upstream]] = {}
        self._upstreams: dict[str, Upstream] = {}  # also of replicas that drain

    @property
    def statistics(self) -> list[Upstream]:
        """The `/v1/stats` server of each routed replica."""
        return [statistics for _, statistics in self._routed.values()]

    def in_flight(self, replica_id: str) -> int:
        """Return the requests in flight of a routed replica; 0 for another one."""
        routed = self._routed.get(replica_id)
        return routed[0].in_flight if routed else 0

    def add(self, replica: ReplicaProcess) -> None:
        """Send requests to this replica: it is ready."""
        upstream = Upstream("127.0.0.1", replica.port)
        backend = Backend(replica.id, upstream, replica.max_in_flight)
        self._upstreams[replica.id] = upstream
        self._routed[replica.id] = (backend, Upstream("127.0.0.1", replica.stats_port))
        self._backends.add(backend)

    def remove(self, replica: ReplicaProcess) -> None:
        """Send nothing more to this replica; its requests in flight continue."""
        routed = self._routed.pop(replica.id, None)
        if routed is not None:
            backend, statistics = routed
            self._backends.remove(backend)
            statistics.close()

    def ended(self, replica: ReplicaProcess) -> None:
        """Fail what is in flight at a process that has ended, even if another process holds its sockets open.

        One with exit code 0 has answered all; clients may take their time to read the last answers.
        """
        self.remove(replica)
        upstream = self._upstreams.pop(replica.id, None)
        if upstream is not None and replica.exit_code != 0:
            asyncio.get_running_loop().call_later(_READ_REST_S, upstream.abort_all)
