"""Brings each report to the autoscaler that decides on its revision: here, or over a websocket. Source: contract, §3.6.

A revision belongs to a bucket, and a bucket to whoever holds its lease. Activators do not know that, and report to any.
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
MOST_QUEUED: Final = 20_000
OLDEST_S: Final = 15.0
"""Reports come each second: what was not sent for so long says nothing any more. Stock means to keep them as long."""
MOST_IN_FRAME: Final = 1000
_PING_S: Final = 10.0
_log = logging.getLogger(__name__)


def holder_urls(bucket: str, *, holder_ip: str | None, namespace: str, cluster_domain: str) -> tuple[str, ...]:
    """Where a bucket's holder is reached, in the order to try; none if nobody holds it.

    >>> holder_urls("b", holder_ip="10.0.0.1", namespace="ns", cluster_domain="cluster.local")
    ('ws://10.0.0.1:8080/', 'ws://b.ns.svc.cluster.local:8080/')
    """
    if not holder_ip:
        return ()
    host = f"[{holder_ip}]" if ":" in holder_ip else holder_ip
    return f"ws://{host}:8080/", f"ws://{bucket}.{namespace}.svc.{cluster_domain}:8080/"


class Forwarder:
    """Sends one bucket's reports to its holder; keeps them for a while where that does not work."""

    def __init__(
        self,
        bucket: str,
        session: aiohttp.ClientSession,
        *,
        most_queued: int = MOST_QUEUED,
        retry_s: float = RETRY_S,
        oldest_s: float = OLDEST_S,
    ) -> None:
        self.bucket = bucket
        self.dropped = 0
        self.sent = 0
        self._session = session
        self._most_queued = most_queued
        self._retry_s = retry_s
        self._oldest_s = oldest_s
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, Stat]] = deque()
        self._urls: tuple[str, ...] = ()
        self._wake = asyncio.Event()  # something to send, or the connection is over
        self._moved = asyncio.Event()  # the holder is another
        self._is_over = False  # the connection: its end was seen, or the holder is another
        self._task: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """How many reports wait."""
        return len(self._queue)

    def point_to(self, urls: Sequence[str]) -> None:
        """Send to the first of these that takes a connection, from now on."""
        if tuple(urls) != self._urls:
            self._urls = tuple(urls)
            self._is_over = True
            self._moved.set()
            self._wake.set()

    def send(self, stat: Stat) -> None:
        """Send a report as soon as possible. Of too many, the oldest are dropped."""
        if len(self._queue) >= self._most_queued:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append((self._loop.time(), stat))
        self._wake.set()
        if self._task is None:
            self._task = self._loop.create_task(self._run())

    def take_back(self) -> tuple[Stat, ...]:
        """What waits and still says something; it is not sent any more."""
        self._drop_old()
        waiting = tuple(stat for _, stat in self._queue)
        self._queue.clear()
        return waiting

    async def close(self) -> None:
        """End the connection; what waits is dropped."""
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
        """Send over this connection until it is over."""
        reading = self._loop.create_task(self._read(ws))
        try:
            await self._send_all(ws)
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            _log.warning("bucket %s: the connection to its holder broke: %r", self.bucket, error)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await ws.close()

    async def _wait_to_retry(self) -> None:
        """Until it is time to try again, or the holder is another."""
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
        """Send what is queued and what comes, until the connection is over."""
        while not self._is_over:
            if self._queue:
                await self._send_some(ws)
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _send_some(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        queue = self._queue
        some = [queue.popleft() for _ in range(min(len(queue), MOST_IN_FRAME))]
        try:
            async with asyncio.timeout(_PING_S):  # a holder that does not read is as good as gone
                await ws.send_bytes(write_frame(stat for _, stat in some))
        except BaseException:
            queue.extendleft(reversed(some))
            raise
        self.sent += len(some)

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """Answer pings, and notice the end: a holder that restarts says so."""
        async for _ in ws:
            pass
        self._is_over = True
        self._wake.set()

    def _drop_old(self) -> None:
        oldest_s = self._loop.time() - self._oldest_s
        while self._queue and self._queue[0][0] < oldest_s:
            self._queue.popleft()
            self.dropped += 1


class StatRouter:
    """Gives each report to `accept` where its bucket is ours, else to the bucket's forwarder."""

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
        """The bucket of a revision, NAMESPACE/REVISION."""
        return self._bucket_of(key)

    def route(self, stats: Iterable[Stat]) -> None:
        """Pass on a frame's reports."""
        for stat in stats:
            bucket = self._bucket_of(stat.key)
            if self._owns(bucket):
                self._accept(stat)
            else:
                self._forwarder(bucket).send(stat)
