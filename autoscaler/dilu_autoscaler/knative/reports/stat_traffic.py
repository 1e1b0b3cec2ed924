"""The path of reports: from any sender to the collector if their bucket is ours, else to the bucket's holder."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import aiohttp

from dilu_autoscaler.knative.configuration.process_settings import ProcessSettings
from dilu_autoscaler.knative.reports.forwarding import MAX_AGE_S, Forwarder, StatRouter, holder_urls
from dilu_autoscaler.knative.reports.stat_server import StatServer
from dilu_autoscaler.knative.reports.stats import Stat

_log = logging.getLogger(__name__)


class Holders(Protocol):
    """Knows the holders of the buckets."""

    def holds(self, bucket: str) -> bool:
        """Return whether this process holds the bucket now."""
        ...

    def holder_ip(self, bucket: str) -> str | None:
        """Return the address of the holder; None if there is none."""
        ...


class StatTraffic:
    """The stat server, the router behind it and the forwarders. They start before anything else is known."""

    def __init__(self, settings: ProcessSettings, now_s: Callable[[], float]) -> None:
        self.early = 0  # reports received before the buckets were known
        self.astray = 0  # reports that a peer forwarded to us although we are not the holder
        self._settings = settings
        self.server = StatServer(self._on_stats, self._owns, now_s, on_forwarded=self._on_forwarded)
        self._router: StatRouter | None = None
        self._holders: Holders | None = None
        self._kept: set[str] = set()  # buckets that no other process has taken since we held them
        self._forwarders: dict[str, Forwarder] = {}
        self._waiting: dict[str, tuple[float, dict[str, list[Stat]]]] = {}
        """By bucket: when it became ours, and the reports that were queued until then."""
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> int:
        """Listen and return the port."""
        port = await self.server.start(self._settings.host, self._settings.stat_port)
        self._session = aiohttp.ClientSession()
        return port

    def route(self, buckets: Sequence[str], holders: Holders, accept: Callable[[Stat], None]) -> None:
        """Call `accept` with the reports of our buckets from now on, and forward the others to their holders."""
        if self._settings.mode.writes:
            self._holders = holders
        self._router = StatRouter(buckets, owns=self._accepts, accept=accept, forwarder=self._forwarder)

    def holder_changed(self, bucket: str) -> None:
        """Send a bucket's reports to its present holder."""
        assert self._holders is not None
        if self._holders.holds(bucket):
            self._kept.add(bucket)
            self._take_queued(bucket)
        elif self._holders.holder_ip(bucket):
            self._kept.discard(bucket)
            self._waiting.pop(bucket, None)
        forwarder = self._forwarders.get(bucket)
        if forwarder is not None:
            forwarder.point_to(self._urls(bucket))

    def take_waiting(self, key: str) -> Sequence[Stat]:
        """Return the reports on a revision that were queued while its bucket had no holder.

        They are returned once, and only shortly after the bucket became ours.
        """
        if self._router is None:
            return ()
        taken_s, waiting = self._waiting.get(self._router.bucket_of(key), (0.0, {}))
        stats = waiting.pop(key, ())
        return stats if asyncio.get_running_loop().time() - taken_s < MAX_AGE_S else ()

    @property
    def forwarded(self) -> int:
        """Return how many reports were forwarded."""
        return sum(one.sent for one in self._forwarders.values())

    @property
    def lost(self) -> int:
        """Return how many reports could not be forwarded in time."""
        return sum(one.dropped for one in self._forwarders.values())

    @property
    def queued(self) -> int:
        """Return how many reports wait to be forwarded."""
        return sum(one.queued for one in self._forwarders.values())

    async def stop(self) -> None:
        """Tell all senders to reconnect elsewhere, and close everything. May be called twice."""
        await self.server.stop()
        await asyncio.gather(*(one.close() for one in self._forwarders.values()))
        if self._session is not None:
            await self._session.close()

    def _take_queued(self, bucket: str) -> None:
        """Keep the reports that are queued for the holder, which is this process now."""
        forwarder = self._forwarders.get(bucket)
        waiting: dict[str, list[Stat]] = {}
        for stat in () if forwarder is None else forwarder.take_queued():
            waiting.setdefault(stat.key, []).append(stat)
        if waiting:
            self._waiting[bucket] = (asyncio.get_running_loop().time(), waiting)

    def _on_stats(self, stats: Sequence[Stat]) -> None:
        if self._router is None:
            self.early += len(stats)
        else:
            self._router.route(stats)

    def _on_forwarded(self, stats: Sequence[Stat]) -> None:
        """Take reports from a peer that sees us as holder. None is forwarded: we may still see the peer as holder."""
        if self._router is None:
            self.early += len(stats)
        else:
            ours = [stat for stat in stats if self._accepts(self._router.bucket_of(stat.key))]
            self.astray += len(stats) - len(ours)
            self._router.route(ours)

    def _owns(self, bucket: str) -> bool:
        """Return whether we answer connections to a bucket's own Service: only its holder does."""
        return self._holders is not None and self._holders.holds(bucket)

    def _accepts(self, bucket: str) -> bool:
        """Return whether we take a bucket's reports: also while renewals fail and no other took over, or in observe."""
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
        if holder_ip == self._settings.pod_ip:  # this process, just before or after it holds the bucket
            return ()
        return holder_urls(
            bucket,
            holder_ip=holder_ip,
            namespace=self._settings.system_namespace,
            cluster_domain=self._settings.cluster_domain,
        )
