"""Reports reach the holder of their bucket: at once, later, or not at all if it is absent too long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
import pytest

from dilu_autoscaler.knative.reports.forwarding import Forwarder, StatRouter, holder_urls
from dilu_autoscaler.knative.reports.stat_server import StatServer
from dilu_autoscaler.knative.reports.stats import Stat
from loops import Run, until

BUCKETS = ("autoscaler-bucket-00-of-02", "autoscaler-bucket-01-of-02")


def stat(key: str, *, time_s: int = 7) -> Stat:
    return Stat(
        key=key,
        pod="activator",
        concurrency=1.0,
        proxied_concurrency=0.0,
        requests=1.0,
        proxied_requests=0.0,
        uptime_s=0.0,
        time_s=time_s,
    )


class Holder:
    """Another autoscaler."""

    def __init__(self) -> None:
        self.taken: list[Stat] = []
        self.port = 0
        self.server = StatServer(self.take, owns=lambda _: True, now_s=lambda: 1.0)

    def take(self, stats: Sequence[Stat]) -> None:
        self.taken += stats

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    async def start(self, port: int = 0) -> None:
        self.port = await self.server.start("127.0.0.1", port)


@asynccontextmanager
async def forwarding(
    *, max_queued: int = 100, retry_s: float = 0.01, max_age_s: float = 15.0
) -> AsyncIterator[Forwarder]:
    async with aiohttp.ClientSession() as session:
        forwarder = Forwarder(BUCKETS[0], session, max_queued=max_queued, retry_s=retry_s, max_age_s=max_age_s)
        try:
            yield forwarder
        finally:
            await forwarder.close()


def test_reports_arrive_as_they_were_in_their_order(run: Run) -> None:
    async def main() -> None:
        holder = Holder()
        await holder.start()
        async with forwarding() as forwarder:
            forwarder.point_to([holder.url])
            sent = [stat(f"ns/{number}") for number in range(5)]
            for one in sent:
                forwarder.send(one)
            await until(lambda: len(holder.taken) == 5)
            assert holder.taken == sent
            forwarder.send(stat("ns/later"))
            await until(lambda: len(holder.taken) == 6)
            assert (holder.server.clients, forwarder.sent, forwarder.queued) == (1, 6, 0)
        await holder.server.stop()

    run(main)


def test_the_first_address_that_takes_a_connection_is_used(run: Run) -> None:
    async def main() -> None:
        holder, ended = Holder(), Holder()
        await holder.start()
        await ended.start()
        await ended.server.stop()
        async with forwarding() as forwarder:
            forwarder.point_to([ended.url, holder.url])
            forwarder.send(stat("ns/rev"))
            await until(lambda: len(holder.taken) == 1)
        await holder.server.stop()

    run(main)


def test_without_a_holder_reports_wait_for_one(run: Run) -> None:
    async def main() -> None:
        holder = Holder()
        await holder.start()
        async with forwarding(retry_s=60.0) as forwarder:
            forwarder.send(stat("ns/rev"))
            await asyncio.sleep(0)  # it tries, and finds no server
            await asyncio.sleep(0)
            forwarder.point_to([holder.url])  # does not wait until it would try again
            await until(lambda: len(holder.taken) == 1)
        await holder.server.stop()

    run(main)


def test_reports_of_a_failed_frame_wait_in_their_order(run: Run) -> None:
    async def main() -> None:
        holder = Holder()
        await holder.start()
        sent = [stat(f"ns/{number}") for number in range(5)]
        async with aiohttp.ClientSession() as session, forwarding() as forwarder:
            broken = await session.ws_connect(holder.url)
            await broken.close()
            for one in sent:
                forwarder.send(one)
            with pytest.raises(aiohttp.ClientError):
                await forwarder._send_batch(broken)
            waiting = forwarder.take_queued()
        await holder.server.stop()
        assert waiting == tuple(sent)

    run(main)


def test_another_holder_gets_what_comes_after(run: Run) -> None:
    async def main() -> None:
        first, second = Holder(), Holder()
        await first.start()
        await second.start()
        async with forwarding() as forwarder:
            forwarder.point_to([first.url])
            forwarder.send(stat("ns/one"))
            await until(lambda: len(first.taken) == 1)
            forwarder.point_to([second.url])
            forwarder.send(stat("ns/two"))
            await until(lambda: len(second.taken) == 1)
            await until(lambda: first.server.clients == 0)
        await first.server.stop()
        await second.server.stop()

    run(main)


def test_a_holder_that_restarts_is_found_again(run: Run) -> None:
    async def main() -> None:
        before, after = Holder(), Holder()
        await before.start()
        async with forwarding() as forwarder:
            forwarder.point_to([before.url])
            forwarder.send(stat("ns/one"))
            await until(lambda: len(before.taken) == 1)
            await before.server.stop()
            forwarder.send(stat("ns/two"))
            await after.start(before.port)
            await until(lambda: len(after.taken) == 1)
            assert after.taken == [stat("ns/two")]
        await after.server.stop()

    run(main)


def test_of_too_many_reports_the_oldest_are_dropped(run: Run) -> None:
    async def main() -> None:
        holder = Holder()
        await holder.start()
        async with forwarding(max_queued=3) as forwarder:
            for number in range(5):
                forwarder.send(stat(f"ns/{number}"))
            assert (forwarder.queued, forwarder.dropped) == (3, 2)
            forwarder.point_to([holder.url])
            await until(lambda: len(holder.taken) == 3)
            assert [one.key for one in holder.taken] == ["ns/2", "ns/3", "ns/4"]
        await holder.server.stop()

    run(main)


def test_reports_that_waited_too_long_are_dropped(run: Run) -> None:
    async def main() -> None:
        async with forwarding(retry_s=0.001, max_age_s=0.01) as forwarder:
            forwarder.send(stat("ns/rev"))
            await until(lambda: forwarder.dropped == 1)
            assert forwarder.queued == 0

    run(main)


def test_closing_ends_the_connection(run: Run) -> None:
    async def main() -> None:
        holder = Holder()
        await holder.start()
        async with forwarding() as forwarder:
            forwarder.point_to([holder.url])
            forwarder.send(stat("ns/rev"))
            await until(lambda: len(holder.taken) == 1)
            await forwarder.close()
            await until(lambda: holder.server.clients == 0)
        await holder.server.stop()

    run(main)


def test_reports_of_our_buckets_stay_and_others_are_forwarded(run: Run) -> None:
    async def main() -> None:
        accepted: list[Stat] = []
        async with forwarding() as forwarder:
            asked: list[str] = []

            def forwarder_of(bucket: str) -> Forwarder:
                asked.append(bucket)
                return forwarder

            router = StatRouter(
                BUCKETS, owns=lambda bucket: bucket == BUCKETS[1], accept=accepted.append, forwarder=forwarder_of
            )
            keys = [f"ns/rev-{number}" for number in range(20)]
            router.route(stat(key) for key in keys)
            ours = [key for key in keys if router.bucket_of(key) == BUCKETS[1]]
            assert [one.key for one in accepted] == ours
            assert 0 < len(ours) < 20
            assert (set(asked), forwarder.queued) == ({BUCKETS[0]}, 20 - len(ours))

    run(main)


def test_a_bucket_without_a_holder_has_no_address() -> None:
    assert holder_urls("b", holder_ip=None, namespace="ns", cluster_domain="d") == ()
    assert holder_urls("b", holder_ip="fd00::1", namespace="ns", cluster_domain="d")[0] == "ws://[fd00::1]:8080/"
