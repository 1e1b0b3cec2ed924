"""The reports' way: from any sender to the collector where their bucket is ours, else to whoever holds it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import aiohttp

from dilu_autoscaler.knative.configuration.process_settings import ProcessSettings
from dilu_autoscaler.knative.reports.forwarding import OLDEST_S, Forwarder, StatRouter, holder_urls
from dilu_autoscaler.knative.reports.stat_server import StatServer
from dilu_autoscaler.knative.reports.stats import Stat

_log = logging.getLogger(__name__)


class Holders(Protocol):
    """Knows who holds the buckets."""

    def holds(self, bucket: str) -> bool:
        """Whether we do, now."""
        ...

    def holder_ip(self, bucket: str) -> str | None:
        """Where the holder is, whoever that is."""
        ...


class StatTraffic:
    """The stat server, the router behind it and the forwarders; up before anything else is known."""

    def __init__(self, settings: ProcessSettings, now_s: Callable[[], float]) -> None:
        self.early = 0  # reports that came before their buckets were known
        self.astray = 0  # reports that a peer sent on to us, who are not the holder either
        self._settings = settings
        self.server = StatServer(self._on_stats, self._owns, now_s, on_forwarded=self._on_forwarded)
        self._router: StatRouter | None = None
        self._holders: Holders | None = None
        self._kept: set[str] = set()  # buckets that we held last, whoever may hold them now
        self._forwarders: dict[str, Forwarder] = {}
        self._waiting: dict[
            str, tuple[float, dict[str, list[Stat]]]
        ] = {}  # by bucket: when it became ours, what waited
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> int:
        """Listen; the port."""
        port = await self.server.start(self._settings.host, self._settings.stat_port)
        self._session = aiohttp.ClientSession()
        return port

    def route(self, buckets: Sequence[str], holders: Holders, accept: Callable[[Stat], None]) -> None:
        """Give the reports of our buckets to `accept` from now on, and the others to their holders."""
        if self._settings.mode.writes:
            self._holders = holders
        self._router = StatRouter(buckets, owns=self._accepts, accept=accept, forwarder=self._forwarder)

    def holder_changed(self, bucket: str) -> None:
        """Send a bucket's reports to its holder as it is now."""
        assert self._holders is not None
        if self._holders.holds(bucket):
            self._kept.add(bucket)
            self._take_back(bucket)
        elif self._holders.holder_ip(bucket):
            self._kept.discard(bucket)
            self._waiting.pop(bucket, None)
        forwarder = self._forwarders.get(bucket)
        if forwarder is not None:
            forwarder.point_to(self._urls(bucket))

    def take_waiting(self, key: str) -> Sequence[Stat]:
        """What came of a revision while nobody held its bucket, which is ours now; once, and not for long after."""
        if self._router is None:
            return ()
        taken_s, waiting = self._waiting.get(self._router.bucket_of(key), (0.0, {}))
        stats = waiting.pop(key, ())
        return stats if asyncio.get_running_loop().time() - taken_s < OLDEST_S else ()

    @property
    def forwarded(self) -> int:
        """Reports that were sent on."""
        return sum(one.sent for one in self._forwarders.values())

    @property
    def lost(self) -> int:
        """Reports that could not be sent on in time."""
        return sum(one.dropped for one in self._forwarders.values())

    @property
    def queued(self) -> int:
        """Reports that wait to be sent on."""
        return sum(one.queued for one in self._forwarders.values())

    async def stop(self) -> None:
        """Tell all senders to go elsewhere, and end. Once is enough, twice does no harm."""
        await self.server.stop()
        await asyncio.gather(*(one.close() for one in self._forwarders.values()))
        if self._session is not None:
            await self._session.close()

    def _take_back(self, bucket: str) -> None:
        """Keep what waits to be sent to a holder, which is us."""
        forwarder = self._forwarders.get(bucket)
        waiting: dict[str, list[Stat]] = {}
        for stat in () if forwarder is None else forwarder.take_back():
            waiting.setdefault(stat.key, []).append(stat)
        if waiting:
            self._waiting[bucket] = (asyncio.get_running_loop().time(), waiting)

    def _on_stats(self, stats: Sequence[Stat]) -> None:
        if self._router is None:
            self.early += len(stats)
        else:
            self._router.route(stats)

    def _on_forwarded(self, stats: Sequence[Stat]) -> None:
        """A peer takes us for the holder. We may take it for the holder as well for a moment: nothing is sent back."""
        if self._router is None:
            self.early += len(stats)
        else:
            ours = [stat for stat in stats if self._accepts(self._router.bucket_of(stat.key))]
            self.astray += len(stats) - len(ours)
            self._router.route(ours)

    def _owns(self, bucket: str) -> bool:
        """For connections to a bucket's own Service: only its holder answers."""
        return self._holders is not None and self._holders.holds(bucket)

    def _accepts(self, bucket: str) -> bool:
        """Also where we cannot renew at the moment and nobody else has taken over, and where we only observe."""
        return self._holders is None or bucket in self._kept or self._holders.holds(bucket)

    def _forwarder(self, bucket: str) -> Forwarder:
        forwarder = self._forwarders.get(bucket)
        if forwarder is None:
            assert self._session is not None
            forwarder = self._forwarders[bucket] = Forwarder(bucket, self._session)
            forwarder.point_to(self._urls(bucket))
        return forwarder

    def _urls(self, bucket: str) -> tuple[str, ...]:
        assert self._holders is not None
        holder_ip = self._holders.holder_ip(bucket)
        if holder_ip == self._settings.pod_ip:  # we ourselves, a moment before or after holding it
            return ()
        return holder_urls(
            bucket,
            holder_ip=holder_ip,
            namespace=self._settings.system_namespace,
            cluster_domain=self._settings.cluster_domain,
        )
