"""The replicas of one function that requests go to: for the gateway's queue, and for who reads their statistics."""

from __future__ import annotations

import asyncio

from dilu.http.client.upstream import Upstream
from dilu_autoscaler.local.backends import Backend, Backends
from dilu_autoscaler.local.replicas import ReplicaProcess

# What an ended process had written is read before its connections are cut.
_UNREAD_S = 0.1


class Routes:
    """Adds replicas to the gateway's backends and takes them out again."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._routed: dict[str, tuple[Backend, Upstream]] = {}
        self._upstreams: dict[str, Upstream] = {}  # also of replicas that drain

    @property
    def statistics(self) -> list[Upstream]:
        """Where each routed replica answers `/v1/stats`."""
        return [statistics for _, statistics in self._routed.values()]

    def in_flight(self, replica_id: str) -> int:
        """Requests of a routed replica; 0 of another one."""
        routed = self._routed.get(replica_id)
        return routed[0].in_flight if routed else 0

    def add(self, replica: ReplicaProcess) -> None:
        """Requests may go to this replica, which is ready."""
        upstream = Upstream("127.0.0.1", replica.port)
        backend = Backend(replica.id, upstream, replica.max_in_flight)
        self._upstreams[replica.id] = upstream
        self._routed[replica.id] = (backend, Upstream("127.0.0.1", replica.stats_port))
        self._backends.add(backend)

    def remove(self, replica: ReplicaProcess) -> None:
        """Nothing new goes to this replica; what it has in flight goes on."""
        routed = self._routed.pop(replica.id, None)
        if routed is not None:
            backend, statistics = routed
            self._backends.remove(backend)
            statistics.close()

    def ended(self, replica: ReplicaProcess) -> None:
        """The process has ended: what was in flight there is answered now, whoever else holds its sockets.

        One that ended in order has answered all; how fast clients read the last of it is theirs to say.
        """
        self.remove(replica)
        upstream = self._upstreams.pop(replica.id, None)
        if upstream is not None and replica.exit_code != 0:
            asyncio.get_running_loop().call_later(_UNREAD_S, upstream.abort_all)
