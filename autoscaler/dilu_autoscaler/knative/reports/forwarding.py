"""Routes each report to the autoscaler that decides on its revision: here, or over a websocket. Source: contract, §3.6.

A revision belongs to a bucket, and a bucket to the holder of its lease. Activators report to any autoscaler.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

import aiohttp

from dilu_autoscaler.knative.buckets.hashing import owner
from dilu_autoscaler.knative.reports.stats import Stat, write_frame

CONNECT_S: Final = 0.5
RETRY_S: Final = 0.5
MAX_QUEUED: Final = 20_000
MAX_AGE_S: Final = 15.0
"""Reports come each second, so older ones are worthless. Knative's autoscaler means to keep them as long."""
MAX_IN_FRAME: Final = 1000
_PING_S: Final = 10.0
_log = logging.getLogger(__name__)


def holder_urls(bucket: str, *, holder_ip: str | None, namespace: str, cluster_domain: str) -> tuple[str, ...]:
    """Return the URLs of a bucket's holder, in the order to try; none if the bucket has no holder.

    >>> holder_urls("b", holder_ip="10.0.0.1", namespace="ns", cluster_domain="cluster.local")
    ('ws://10.0.0.1:8080/', 'ws://b.ns.svc.cluster.local:8080/')
    """
    if not holder_ip:
        return ()
    host = f"[{holder_ip}]" if ":" in holder_ip else holder_ip
    return f"ws://{host}:8080/", f"ws://{bucket}.{namespace}.svc.{cluster_domain}:8080/"


class Forwarder:
    """Sends one bucket's reports to its holder, and queues them while that fails."""

    def __init__(
        self,
        bucket: str,
        session: aiohttp.ClientSession,
        *,
        max_queued: int = MAX_QUEUED,
        retry_s: float = RETRY_S,
        max_age_s: float = MAX_AGE_S,
    ) -> None:
        self.bucket = bucket
        self.dropped = 0
        self.sent = 0
        self._session = session
        self._max_queued = max_queued
        self._retry_s = retry_s
        self._max_age_s = max_age_s
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, Stat]] = deque()
        self._urls: tuple[str, ...] = ()
        self._wake = asyncio.Event()  # a report was queued, or the connection ended
        self._moved = asyncio.Event()  # the holder changed
        self._is_over = False  # the connection ended, or the holder changed
        self._task: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """Return how many reports are queued."""
        return len(self._queue)

    def point_to(self, urls: Sequence[str]) -> None:
        """Send to the first of these URLs that accepts a connection, from now on."""
        if tuple(urls) != self._urls:
            self._urls = tuple(urls)
            self._is_over = True
            self._moved.set()
            self._wake.set()

    def send(self, stat: Stat) -> None:
        """Queue a report. A full queue drops its oldest report."""
        if len(self._queue) >= self._max_queued:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append((self._loop.time(), stat))
        self._wake.set()
        if self._task is None:
            self._task = self._loop.create_task(self._run())

    def take_queued(self) -> tuple[Stat, ...]:
        """Return the queued reports that are not too old, and empty the queue."""
        self._drop_old()
        waiting = tuple(stat for _, stat in self._queue)
        self._queue.clear()
        return waiting

    async def close(self) -> None:
        """Close the connection and drop the queue."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.dropped += len(self._queue)
        self._queue.clear()

    async def _run(self) -> None:
        while True:
            await self._until_queued()
            self._drop_old()
            self._moved.clear()
            self._is_over = False
            ws = await self._connect()
            if ws is not None:
                await self._use(ws)
            await self._wait_to_retry()

    async def _until_queued(self) -> None:
        while not self._queue:
            self._wake.clear()
            await self._wake.wait()

    async def _use(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """Send over this connection until it ends."""
        reading = self._loop.create_task(self._read(ws))
        try:
            await self._send_all(ws)
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            _log.warning("bucket %s: connection to its holder broke: %r", self.bucket, error)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await ws.close()

    async def _wait_to_retry(self) -> None:
        """Wait until the next attempt is due, or the holder changes."""
        try:
            async with asyncio.timeout(self._retry_s):
                await self._moved.wait()
        except TimeoutError:
            return

    async def _connect(self) -> aiohttp.ClientWebSocketResponse | None:
        for url in self._urls:
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await self._session.ws_connect(
                        url, heartbeat=_PING_S, timeout=aiohttp.ClientWSTimeout(ws_close=CONNECT_S)
                    )
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                _log.debug("bucket %s: no connection to %s: %s", self.bucket, url, error)
        return None

    async def _send_all(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """Send queued and new reports until the connection ends."""
        while not self._is_over:
            if self._queue:
                await self._send_batch(ws)
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _send_batch(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        queue = self._queue
        batch = [queue.popleft() for _ in range(min(len(queue), MAX_IN_FRAME))]
        try:
            async with asyncio.timeout(_PING_S):  # a holder that does not read counts as unreachable
                await ws.send_bytes(write_frame(stat for _, stat in batch))
        except BaseException:
            queue.extendleft(reversed(batch))
            raise
        self.sent += len(batch)

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """Answer pings, and notice the end of the connection, such as the Close of a holder that restarts."""
        async for _ in ws:
            pass
        self._is_over = True
        self._wake.set()

    def _drop_old(self) -> None:
        min_s = self._loop.time() - self._max_age_s
        while self._queue and self._queue[0][0] < min_s:
            self._queue.popleft()
            self.dropped += 1


class StatRouter:
    """Calls `accept` with each report of our buckets, and hands the others to the bucket's forwarder."""

    def __init__(
        self,
        buckets: Iterable[str],
        *,
        owns: Callable[[str], bool],
        accept: Callable[[Stat], None],
        forwarder: Callable[[str], Forwarder],
    ) -> None:
        names = tuple(buckets)
        self._bucket_of = lru_cache(maxsize=65_536)(lambda key: owner(key, names))
        self._owns = owns
        self._accept = accept
        self._forwarder = forwarder

    def bucket_of(self, key: str) -> str:
        """Return the bucket of a revision, NAMESPACE/REVISION."""
        return self._bucket_of(key)

    def route(self, stats: Iterable[Stat]) -> None:
        """Route the reports of a frame."""
        for stat in stats:
            bucket = self._bucket_of(stat.key)
            if self._owns(bucket):
                self._accept(stat)
            else:
                self._forwarder(bucket).send(stat)
