from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from dilu_autoscaler.explaining.decision_log import DecisionOutcome
from dilu_autoscaler.knative.explaining.explain_answers import MAX_LISTED
from dilu_autoscaler.knative.explaining.explain_server import ExplainServer
from dilu_autoscaler.knative.explaining.snapshot import RevisionNumbers
from explaining.ticks import tick
from knative.explaining.platforms import BUCKET, Platform
from loops import Run

KEY = "shop/embed-00001"


@asynccontextmanager
async def served(platform: Platform, **settings: Any) -> AsyncIterator[tuple[ExplainServer, int]]:
    server = ExplainServer(platform, **settings)
    port = await server.start("127.0.0.1", 0)
    try:
        yield server, port
    finally:
        await server.close()


async def get(port: int, path: str, method: str = "GET") -> tuple[int, str, Any]:
    """Status, content type, and the body: JSON where it is."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{port}{path}") as response,
    ):
        body = await response.text()
        is_json = response.content_type == "application/json" and body
        return response.status, response.content_type, json.loads(body) if is_json else body


async def raw(port: int, request: bytes) -> bytes:
    """What comes for these bytes until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def decided(platform: Platform) -> None:
    platform.known[KEY] = {"policy": "kpa", "target-value": 7.0}
    platform.log.ticked(tick(KEY, now_s=100.0, before=0, decided=2, reason="2 for 9.00 in flight", ready=0))
    platform.log.reconciled(KEY, DecisionOutcome(want=2, applied=True, reason="as decided"), 100.1)
    platform.log.ticked(tick(KEY, now_s=102.0, before=2, decided=2, reason="2 for 9.10 in flight", ready=2))


def test_the_last_decisions_on_a_revision_come_with_its_settings_and_who_decides(run: Run) -> None:
    platform = Platform()
    decided(platform)

    async def main() -> None:
        async with served(platform) as (_, port):
            status, kind, answer = await get(port, f"/v1/status?function={KEY}")
        assert (status, kind) == (200, "application/json")
        assert (answer["version"], answer["platform"]) == (1, "knative")
        [status] = answer["functions"]
        assert status["name"] == KEY
        assert status["settings"] == {"policy": "kpa", "target-value": 7.0}
        assert status["bucket"]["name"] == BUCKET
        assert status["bucket"]["is_held"] is True
        assert status["bucket"]["holder"] == {"pod": "dilu-autoscaler-7d9c-x2v", "ip": "10.0.0.7", "side": "ours"}
        assert [(one["before"], one["decided"]) for one in status["decisions"]] == [(0, 2), (2, 2)]
        assert status["decisions"][0]["outcome"] == {"want": 2, "applied": True, "reason": "as decided"}
        assert status["decisions"][1]["last"]["reason"] == "2 for 9.10 in flight"

    run(main)


def test_a_revision_has_its_replicas_load_and_bounds(run: Run) -> None:
    numbers = RevisionNumbers(
        namespace="shop",
        revision="embed-00001",
        policy="dilu",
        max_replicas=9,
        desired=3,
        ready=1,
        not_ready=1,
        pending=1,
        stable=9.1,
        queue_depth=4,
        learned_rps=40.0,
    )
    platform = Platform(revisions=(numbers,))
    decided(platform)

    async def main() -> None:
        async with served(platform) as (_, port):
            _, _, answer = await get(port, f"/v1/status?function={KEY}")
        [status] = answer["functions"]
        shown = {key: status[key] for key in ("policy", "min_replicas", "max_replicas", "ready", "starting", "desired")}
        assert shown == {
            "policy": "dilu",
            "min_replicas": 0,
            "max_replicas": 9,
            "ready": 1,
            "starting": 2,
            "desired": 3,
        }
        load = [status[key] for key in ("rps", "in_flight", "waiting", "learned_rps", "grantable_rps")]
        assert load == [None, 9.1, 4, 40.0, None]
        assert status["explanation"] == "2 replicas: 2 for 9.10 in flight"

    run(main)


def test_an_unknown_revision_is_a_404_that_says_who_may_know(run: Run) -> None:
    async def main() -> None:
        async with served(Platform(holder="autoscaler-5f6b-qq8_10.0.0.8")) as (_, port):
            status, _, answer = await get(port, "/v1/status?function=shop/other")
        assert status == 404
        assert answer["error"]["code"] == "unknown-revision"
        assert answer["bucket"]["holder"]["side"] == "stock"

    run(main)


@pytest.mark.parametrize(
    "revision", ["", "shop", "shop/", "/embed", "a/b/c", "Shop/embed", "shop/%0a", "shop/" + "x" * 300, "../x", "ü/ü"]
)
def test_what_is_no_revisions_name_is_refused(run: Run, revision: str) -> None:
    async def main() -> None:
        async with served(Platform()) as (_, port):
            status, _, answer = await get(port, f"/v1/status?function={revision}")
        assert status == 400
        assert answer["error"]["code"] == "bad-request"

    run(main)


def test_the_revisions_are_listed_page_by_page(run: Run) -> None:
    platform = Platform()
    keys = [f"shop/f-{number:03d}" for number in range(7)]
    for key in reversed(keys):
        platform.log.ticked(tick(key, now_s=5.0, before=0, decided=1, reason="load"))

    async def main() -> None:
        async with served(platform) as (_, port):
            _, _, everything = await get(port, "/v1/status")
            _, _, first = await get(port, "/v1/status?limit=3")
            _, _, last = await get(port, f"/v1/status?limit=4&after={first['after']}")
        assert [one["name"] for one in everything["functions"]] == keys
        assert everything["after"] is None
        assert [one["name"] for one in first["functions"] + last["functions"]] == keys
        assert last["after"] is None
        assert first["functions"][0]["explanation"] == "0 -> 1 replica: load"
        assert [one["last_s"] for one in first["functions"][0]["decisions"]] == [5.0]

    run(main)


@pytest.mark.parametrize("limit", ["0", "-1", str(MAX_LISTED + 1), "9" * 5000, "many", "", "１"])
def test_a_limit_that_is_none_is_refused(run: Run, limit: str) -> None:
    async def main() -> None:
        async with served(Platform()) as (_, port):
            status, _, answer = await get(port, f"/v1/status?limit={limit}")
        assert status == 400
        assert str(MAX_LISTED) in answer["error"]["message"]

    run(main)


def test_leases_and_health(run: Run) -> None:
    async def main() -> None:
        async with served(Platform()) as (_, port):
            assert await get(port, "/healthz") == (200, "application/json", {"state": "ok"})
            status, _, answer = await get(port, "/debug/leases")
            assert status == 200
            assert [one["name"] for one in answer["buckets"]] == [BUCKET]

    run(main)


def test_metrics_are_prometheus_text(run: Run) -> None:
    platform = Platform(revisions=(RevisionNumbers(namespace="shop", revision="embed-00001", desired=3),))

    async def main() -> None:
        async with served(platform) as (_, port):
            status, kind, text = await get(port, "/metrics")
        assert (status, kind) == (200, "text/plain")
        assert 'dilu_revision_desired_replicas{configuration="",namespace="shop",revision="embed-00001",' in text

    run(main)


def test_many_scrapes_at_once_are_made_once(run: Run) -> None:
    platform = Platform(
        revisions=tuple(RevisionNumbers(namespace="shop", revision=f"r-{number}") for number in range(500))
    )

    async def main() -> None:
        async with served(platform) as (_, port):
            answers = await asyncio.gather(*(get(port, "/metrics") for _ in range(20)))
        assert {answer[0] for answer in answers} == {200}
        assert len({answer[2] for answer in answers}) == 1
        assert platform.scrapes == 1

    run(main)


def test_other_paths_and_methods_are_refused(run: Run) -> None:
    async def main() -> None:
        async with served(Platform()) as (_, port):
            status, _, answer = await get(port, "/debug/pprof")
            assert (status, answer["error"]["code"]) == (404, "not-found")
            for method in ("POST", "PUT", "DELETE"):
                status, _, answer = await get(port, "/v1/status", method)
                assert (status, answer["error"]["code"]) == (405, "method-not-allowed")
            assert (await get(port, "/healthz", "HEAD"))[0] == 200

    run(main)


def test_garbage_half_requests_and_huge_ones_harm_no_other(run: Run) -> None:
    async def main() -> None:
        async with served(Platform(), answer_within_s=0.2) as (server, port):
            huge = b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
            body = b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 10_000
            answers = await asyncio.gather(
                raw(port, b"\x00\xff\x16\x03\x01 nonsense\r\n\r\n"),
                raw(port, huge),
                raw(port, body),
                raw(port, b"GET /metrics HTTP/1.1\r\nHost"),
                raw(port, b""),
            )
            assert [answer[9:12] for answer in answers[:2]] == [b"400", b"400"]
            assert answers[2][9:12] == b"405"
            assert list(answers[3:]) == [b"", b""]
            assert server.cut == 2
            assert (await get(port, "/healthz"))[0] == 200

    run(main)


def test_who_does_not_read_is_cut(run: Run) -> None:
    revisions = tuple(RevisionNumbers(namespace="n" * 63, revision=f"{'r' * 200}-{number}") for number in range(3000))

    async def main() -> None:
        async with served(Platform(revisions=revisions), answer_within_s=1.0) as (server, port):
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a ReadTransport too
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            while not server.cut:
                await asyncio.sleep(0.05)
            writer.close()
            assert (await get(port, "/healthz"))[0] == 200

    run(main)


def test_one_connection_too_many_is_ended_and_the_others_stay(run: Run) -> None:
    async def main() -> None:
        async with served(Platform(), max_connections=2) as (server, port):
            pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            for reader, writer in pairs:
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            assert await raw(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") == b""
            assert server.cut == 1
            for _, writer in pairs:
                writer.close()

    run(main)


def test_closing_ends_what_is_open_and_can_be_done_before_a_start(run: Run) -> None:
    async def main() -> None:
        await ExplainServer(Platform()).close()
        server = ExplainServer(Platform())
        port = await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await server.close()
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)

    run(main)


def test_a_source_that_fails_is_a_500_and_the_next_scrape_works(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Platform):
        is_broken = True

        def numbers(self) -> Any:
            if self.is_broken:
                raise RuntimeError("broken")
            return Platform.numbers(self)

    platform = Failing()

    async def main() -> None:
        async with served(platform) as (_, port):
            assert (await get(port, "/metrics"))[0] == 500
            platform.is_broken = False
            assert (await get(port, "/metrics"))[0] == 200

    run(main)
