from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dilu.http.client.gets import GetClient
from dilu_autoscaler.knative.scraping.runtime_stats import MAX_SCRAPED, MAX_STATS_BYTES, RuntimeStats
from knative.queue_proxies import Pods, always, answer, pods
from loops import Run
from replica_process import ServeFunction

KEY = "shop/embed-00001"
FUNCTION = """
    import dilu

    @dilu.function(batch=4, slo_ms=100)
    def embed(items: list[int]) -> list[int]:
        return [item + 1 for item in items]
"""


class Clock:
    """Wall time as the test sets it."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def said(*, in_flight: int = 0, queue: int = 0, capacity: float | None = None, more: int = 0) -> bytes:
    body = {"state": "ready", "in_flight": in_flight, "queue_depth": queue, "learned_rps": capacity}
    return answer(json.dumps({"padding": "x" * more, **body}).encode(), content_type="application/json")


@asynccontextmanager
async def asking(port: int, clock: Clock, timeout_s: float = 1.0) -> AsyncIterator[tuple[RuntimeStats, GetClient]]:
    client = GetClient(timeout_s=timeout_s, max_body_bytes=MAX_STATS_BYTES)
    try:
        yield RuntimeStats(client, port, clock), client
    finally:
        await client.close()


async def round_of(stats: RuntimeStats, ips: dict[str, str], key: str = KEY) -> None:
    over = asyncio.Event()
    assert stats.poll(key, ips, over.set)
    await over.wait()


def requests_to(seen: Pods, ip: str) -> int:
    return sum(asked == ip for asked, _ in seen.requests)


def test_a_revisions_pods_are_asked_and_added_up(run: Run) -> None:
    loads = {"127.0.0.2": said(in_flight=2, queue=1, capacity=40.0), "127.0.0.3": said(in_flight=5, queue=4)}

    async def main() -> None:
        clock = Clock()
        async with pods(lambda ip, _: loads[ip], *loads) as seen, asking(seen.port, clock) as (stats, client):
            assert stats.of(KEY, clock.now_s) is None
            ips = {"a": "127.0.0.2", "b": "127.0.0.3"}
            await round_of(stats, ips)
            await round_of(stats, ips)
            known = stats.of(KEY, clock.now_s)
            assert known is not None
            assert (known.answered, known.queue_depth, known.learned_rps) == (2, 5, 40.0)
            assert known.in_flight == {"a": 2, "b": 5}
            assert client.connections == 2  # kept between the rounds
            assert seen.requests[0][1].startswith("GET /v1/stats HTTP/1.1\r\nHost: 127.0.0.")

    run(main)


def test_a_real_replica_says_what_it_does(run: Run, serve_function: ServeFunction) -> None:
    replica = serve_function(FUNCTION)
    for item in range(8):
        assert replica.post(item).status == 200

    async def main() -> None:
        clock = Clock()
        async with asking(replica.stats_port, clock) as (stats, client):
            await round_of(stats, {"a": "127.0.0.1"})
            await round_of(stats, {"a": "127.0.0.1"})
            known = stats.of(KEY, clock.now_s)
            assert known is not None
            assert (known.answered, known.queue_depth, known.in_flight) == (1, 0, {"a": 0})
            assert known.learned_rps is not None
            assert known.learned_rps > 1
            assert client.connections == 1

    run(main)


def test_absent_silent_and_odd_pods_are_only_missing(run: Run) -> None:
    answers = {
        "127.0.0.2": said(queue=3),
        "127.0.0.3": None,
        "127.0.0.4": answer(b"<html>", content_type="text/html"),
        "127.0.0.5": answer(b"{}", status=404),
        "127.0.0.6": b"\x00\x01 no HTTP\r\n\r\n",
        "127.0.0.7": said(queue=100, more=MAX_STATS_BYTES),
    }

    async def main() -> None:
        clock = Clock()
        async with (
            pods(lambda ip, _: answers[ip], *answers) as seen,
            asking(seen.port, clock, timeout_s=0.2) as (stats, _),
        ):
            ips = {f"pod-{ip}": ip for ip in answers} | {"refused": "127.0.0.9", "odd": "not an address"}
            await round_of(stats, ips)
            known = stats.of(KEY, clock.now_s)
            assert known is not None
            assert (known.pods, known.answered, known.queue_depth) == (8, 1, 3)
            assert known.in_flight == {"pod-127.0.0.2": 0}

    run(main)


def test_a_revision_without_our_runtime_is_nothing(run: Run) -> None:
    async def main() -> None:
        clock = Clock()
        async with pods(always(answer(status=404)), "127.0.0.2") as seen, asking(seen.port, clock) as (stats, _):
            await round_of(stats, {"a": "127.0.0.2"})
            assert stats.of(KEY, clock.now_s) is None

    run(main)


def test_who_does_not_answer_is_asked_less_and_less_and_at_once_after_it_did(run: Run) -> None:
    healthy = False

    def answers(_: str, __: int) -> bytes:
        return said() if healthy else answer(status=500)

    async def main() -> None:
        nonlocal healthy
        clock = Clock()
        async with pods(answers, "127.0.0.2") as seen, asking(seen.port, clock) as (stats, _):
            asked_at: list[int] = []
            for second in range(60):
                clock.now_s = 1000.0 + second
                await round_of(stats, {"a": "127.0.0.2"})
                if requests_to(seen, "127.0.0.2") > len(asked_at):
                    asked_at.append(second)
            assert asked_at == [0, 1, 3, 9, 23, 38, 53]
            healthy = True
            for second in range(60, 80):
                clock.now_s = 1000.0 + second
                await round_of(stats, {"a": "127.0.0.2"})
            assert requests_to(seen, "127.0.0.2") == len(asked_at) + 12  # from 68 on each second

    run(main)


def test_a_pause_does_not_outlast_a_clock_that_was_set_back(run: Run) -> None:
    async def main() -> None:
        clock = Clock()
        async with pods(always(answer(status=500)), "127.0.0.2") as seen, asking(seen.port, clock) as (stats, _):
            for _ in range(4):
                await round_of(stats, {"a": "127.0.0.2"})
                clock.now_s += 20.0
            before = requests_to(seen, "127.0.0.2")
            clock.now_s -= 5000.0
            await round_of(stats, {"a": "127.0.0.2"})
            assert requests_to(seen, "127.0.0.2") == before + 1

    run(main)


def test_a_round_that_is_not_over_is_not_begun_again(run: Run) -> None:
    async def main() -> None:
        clock = Clock()
        async with pods(always(said()), "127.0.0.2") as seen, asking(seen.port, clock) as (stats, _):
            over = asyncio.Event()
            assert stats.poll(KEY, {"a": "127.0.0.2"}, over.set)
            assert not stats.poll(KEY, {"a": "127.0.0.2"})
            await over.wait()
            assert stats.poll(KEY, {"a": "127.0.0.2"})

    run(main)


def test_no_pods_are_a_round_that_is_over_at_once(run: Run) -> None:
    async def main() -> None:
        clock = Clock()
        async with asking(1, clock) as (stats, _):
            await round_of(stats, {})
            assert stats.of(KEY, clock.now_s) is None

    run(main)


def test_deleted_pods_and_those_with_another_address_are_not_what_they_were(run: Run) -> None:
    loads = {"127.0.0.2": said(queue=1), "127.0.0.3": said(queue=10)}

    async def main() -> None:
        clock = Clock()
        async with pods(lambda ip, _: loads[ip], *loads) as seen, asking(seen.port, clock) as (stats, _):
            await round_of(stats, {"a": "127.0.0.2", "b": "127.0.0.3"})
            await round_of(stats, {"a": "127.0.0.3"})
            known = stats.of(KEY, clock.now_s)
            assert known is not None
            assert (known.pods, known.queue_depth, set(known.in_flight)) == (1, 10, {"a"})

    run(main)


def test_what_is_forgotten_stays_so_whatever_is_still_on_its_way(run: Run) -> None:
    async def main() -> None:
        clock = Clock()
        async with pods(always(said()), "127.0.0.2") as seen, asking(seen.port, clock) as (stats, _):
            other = asyncio.Event()
            assert stats.poll(KEY, {"a": "127.0.0.2"}, lambda: other.set())
            stats.forget(KEY)
            stats.forget(KEY)
            await round_of(stats, {"a": "127.0.0.2"}, key="shop/other")
            assert stats.of(KEY, clock.now_s) is None
            assert not other.is_set()

    run(main)


def test_very_many_pods_take_turns(run: Run) -> None:
    ips = {f"pod-{number}": f"127.0.{1 + number // 200}.{1 + number % 200}" for number in range(MAX_SCRAPED + 20)}

    async def main() -> None:
        clock = Clock()
        async with pods(always(said(queue=1)), *ips.values()) as seen, asking(seen.port, clock, 5.0) as (stats, _):
            await round_of(stats, ips)
            assert len(seen.requests) == MAX_SCRAPED
            await round_of(stats, ips)
            known = stats.of(KEY, clock.now_s)
            assert known is not None
            assert known.answered == len(ips)
            assert len(seen.requests) == 2 * MAX_SCRAPED

    run(main)
