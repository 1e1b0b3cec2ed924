"""The generator against real servers in the same loop: open loop, failures, limits, stopping."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from dilu.load import LoadPlan, LoadProgress, LoadResult, run_load, run_load_sync, summarize
from dilu.load.arrivals import Arrivals, RecordedArrivals, constant, poisson, steps
from dilu.load.failures import failure_kind
from dilu.load.generator import unreachable_reason

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
RawHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    """The URL of an HTTP server that answers everything with `handler`."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_served(handler: RawHandler) -> AsyncIterator[str]:
    """The URL of a TCP server that does with each connection what `handler` does, then closes it."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def drive(handler: Handler, arrivals: Arrivals, **changes: Any) -> LoadResult:
    async def main() -> LoadResult:
        async with served(handler) as url:
            return await run_load(LoadPlan(url=url, arrivals=arrivals, **changes))

    return asyncio.run(main())


def drive_raw(handler: RawHandler, **changes: Any) -> LoadResult:
    async def main() -> LoadResult:
        async with raw_served(handler) as url:
            return await run_load(LoadPlan(url=url, arrivals=constant(20, 0.2), **changes))

    return asyncio.run(main())


async def answer(request: web.BaseRequest) -> web.Response:
    return web.Response(body=b"12345")


class Stalling:
    """Answers at once, but for one stall of `stall_s`, in which every request waits for its end."""

    def __init__(self, *, after: int, stall_s: float) -> None:
        self._left = after
        self._stall_s = stall_s
        self._over: asyncio.Event | None = None

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self._left -= 1
        if self._left == 0:
            self._over = asyncio.Event()
            asyncio.get_running_loop().call_later(self._stall_s, self._over.set)
        if self._over is not None:
            await self._over.wait()
        return web.Response()


def test_every_request_is_sent_at_its_time_and_answered() -> None:
    result = drive(answer, constant(100, 0.5), slo_ms=10_000)
    assert [record.due_s for record in result.records] == pytest.approx([index / 100 for index in range(50)])
    assert all(record.sent_s is not None and record.sent_s >= record.due_s for record in result.records)
    assert {(record.status, record.error, record.received_bytes) for record in result.records} == {(200, None, 5)}
    summary = summarize(result)
    assert (summary.ok, summary.failed, summary.offered_rps) == (50, 0, 100.0)
    assert summary.slo is not None
    assert summary.slo.attainment_ratio == 1.0
    assert result.elapsed_s >= 0.49


def test_no_traffic_lasts_as_long_as_its_plan() -> None:
    result = drive(answer, poisson(0, 0.3))
    assert result.records == ()
    assert 0.3 <= result.elapsed_s < 2.0


def test_a_quiet_end_is_part_of_the_run() -> None:
    result = drive(answer, steps("50:0.1,0:0.4", cv=0.0))
    assert result.elapsed_s >= 0.5
    summary = summarize(result)
    assert (summary.ok, summary.offered_rps) == (5, 10.0)
    assert summary.achieved_rps == pytest.approx(5 / result.elapsed_s)


def test_one_request_is_one_record() -> None:
    assert len(drive(answer, constant(1, 1)).records) == 1


def test_the_server_gets_body_headers_method_and_an_id_of_its_own_for_each_request() -> None:
    seen: list[tuple[str, bytes, str, str, str]] = []

    async def remember(request: web.BaseRequest) -> web.Response:
        headers = request.headers
        body = await request.read()
        seen.append((request.method, body, headers["Content-Type"], headers["X-Tenant"], headers["X-Request-Id"]))
        return web.Response()

    result = drive(remember, constant(100, 0.03), payloads=(b'"a"', b'"b"'), headers=(("X-Tenant", "t"),), method="PUT")
    assert [entry[:4] for entry in sorted(seen, key=lambda entry: entry[4])] == [
        ("PUT", b'"a"', "application/json", "t"),
        ("PUT", b'"b"', "application/json", "t"),
        ("PUT", b'"a"', "application/json", "t"),
    ]
    assert sorted(entry[4] for entry in seen) == [record.request_id for record in result.records]


def test_a_content_type_of_the_caller_replaces_the_default() -> None:
    async def check(request: web.BaseRequest) -> web.Response:
        return web.Response(status=200 if request.headers.getall("Content-Type") == ["text/plain"] else 415)

    result = drive(check, constant(1, 1), payloads=(b"a",), headers=(("content-type", "text/plain"),))
    assert result.records[0].status == 200


def test_a_stall_shows_in_the_latency_of_all_that_were_due_in_it() -> None:
    # 100 rps for 1.2 s with a stall of 0.6 s: 60 of 120 requests fall into it and wait for 0.3 s on average.
    # A closed loop with one client would have sent one request in the stall, and its p95 would be a millisecond.
    summary = summarize(drive(Stalling(after=20, stall_s=0.6), constant(100, 1.2)))
    assert summary.ok == 120
    assert summary.latency_ms is not None
    assert summary.latency_ms.p99 >= 550
    assert summary.latency_ms.p90 >= 400
    assert summary.latency_ms.max < 2000


def test_waiting_for_a_slot_counts_as_latency_and_as_send_lag() -> None:
    # With one request in flight this is a closed loop: the time from sending hides the stall, that from due does not.
    result = drive(Stalling(after=20, stall_s=0.6), constant(100, 1.2), max_in_flight=1)
    summary = summarize(result)
    assert summary.ok == 120
    assert summary.latency_ms is not None
    assert summary.service_ms is not None
    assert summary.send_lag_ms is not None
    assert summary.latency_ms.p90 >= 350
    assert summary.service_ms.p90 < 200
    assert summary.send_lag_ms.p99 >= 500
    assert result.slot_waits >= 50
    assert "were in flight already" in summary.warnings[0]


def test_no_more_than_the_allowed_number_is_in_flight() -> None:
    now = most = 0

    async def count(request: web.BaseRequest) -> web.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        return web.Response()

    assert summarize(drive(count, constant(1000, 0.1), max_in_flight=7)).ok == 100
    assert most == 7


def test_answers_other_than_2xx_are_failures_by_status() -> None:
    async def refuse(request: web.BaseRequest) -> web.Response:
        return web.Response(status=503)

    summary = summarize(drive(refuse, constant(50, 0.2), slo_ms=1000))
    assert (summary.ok, summary.failed, summary.errors, summary.status) == (0, 10, {"http-503": 10}, {"503": 10})
    assert summary.latency_ms is None
    assert summary.slo is not None
    assert summary.slo.attainment_ratio == 0.0


def test_redirects_are_not_followed() -> None:
    async def redirect(request: web.BaseRequest) -> web.Response:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    assert summarize(drive(redirect, constant(1, 1))).errors == {"http-302": 1}


def test_a_port_where_nothing_listens_refuses() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: no other process can take it meanwhile
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        result = run_load_sync(LoadPlan(url=url, arrivals=constant(20, 0.2)))
        assert unreachable_reason(url) == "connection refused"
    assert {record.error for record in result.records} == {"refused"}
    assert summarize(result).failed == 4


def test_a_server_that_hangs_up_is_disconnected() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    result = drive_raw(hang_up, payloads=(b"1",))
    assert [(record.status, record.error) for record in result.records] == [(None, "disconnected")] * 4


def test_an_answer_that_ends_early_is_cut_off() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        await writer.drain()

    result = drive_raw(cut)
    assert [(record.status, record.error) for record in result.records] == [(200, "cut-off")] * 4
    assert summarize(result).ok == 0


def test_what_is_not_http_is_a_bad_answer() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hello there\r\n\r\n")
        await writer.drain()

    assert {record.error for record in drive_raw(babble).records} == {"bad-answer"}


def test_a_request_without_an_answer_in_time_is_a_timeout() -> None:
    async def sleep(request: web.BaseRequest) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    result = drive(sleep, constant(50, 0.1), timeout_s=0.2)
    assert {record.error for record in result.records} == {"timeout"}
    assert all(0.2 <= record.service_s < 2 for record in result.records)
    assert "5 requests timed out after 0.2 s" in "\n".join(summarize(result).warnings)  # a busy machine adds one


def test_setting_stop_ends_the_run_with_what_was_measured() -> None:
    async def main() -> LoadResult:
        stop = asyncio.Event()
        count = 0

        async def hang_after_ten(request: web.BaseRequest) -> web.Response:
            nonlocal count
            count += 1
            if count == 15:
                stop.set()
            if count > 10:
                await asyncio.sleep(60)
            return web.Response()

        async with served(hang_after_ten) as url:
            plan = LoadPlan(url=url, arrivals=constant(200, 60), max_in_flight=5)
            return await run_load(plan, stop=stop)

    result = asyncio.run(main())
    summary = summarize(result)
    assert result.stopped
    assert summary.ok == 10
    assert summary.failed == 0
    assert summary.interrupted >= 5
    assert summary.scheduled == summary.ok + summary.interrupted
    assert [record.index for record in result.records] == list(range(summary.scheduled))
    assert len([record for record in result.records if record.interrupted and record.sent_s is not None]) == 5
    assert all(record.due_s <= result.elapsed_s for record in result.records)
    assert result.elapsed_s < 5


def test_stopping_in_a_pause_leaves_no_request_behind() -> None:
    async def main() -> LoadResult:
        stop = asyncio.Event()

        def look(progress: LoadProgress) -> None:
            if progress.ok == 1:
                stop.set()

        async with served(answer) as url:
            plan = LoadPlan(url=url, arrivals=RecordedArrivals(at_s=(0.0, 3600.0)))
            return await run_load(plan, stop=stop, on_progress=look, progress_every_s=0.01)

    result = asyncio.run(main())
    assert [record.status for record in result.records] == [200]
    assert result.stopped


def test_progress_is_told_while_the_run_goes_on() -> None:
    seen: list[LoadProgress] = []

    async def main() -> LoadResult:
        async with served(answer) as url:
            plan = LoadPlan(url=url, arrivals=constant(50, 0.4))
            return await run_load(plan, on_progress=seen.append, progress_every_s=0.05)

    asyncio.run(main())
    assert 1 <= len(seen) <= 10
    assert [progress.ok for progress in seen] == sorted(progress.ok for progress in seen)
    assert all(progress.duration_s == 0.4 and progress.behind_s < 1 for progress in seen)


def test_an_error_in_the_progress_callback_ends_the_run() -> None:
    def fail(progress: LoadProgress) -> None:
        raise RuntimeError("no terminal")

    async def main() -> None:
        async with served(answer) as url:
            await run_load(LoadPlan(url=url, arrivals=constant(10, 60)), on_progress=fail, progress_every_s=0.01)

    with pytest.raises(RuntimeError, match="no terminal"):
        asyncio.run(main())


def test_a_cancelled_run_leaves_no_task_behind() -> None:
    async def main() -> int:
        asked = asyncio.Event()

        async def hang(request: web.BaseRequest) -> web.Response:
            asked.set()
            await asyncio.sleep(60)
            return web.Response()

        async with served(hang) as url:
            load = asyncio.create_task(run_load(LoadPlan(url=url, arrivals=constant(100, 60))))
            await asked.wait()
            load.cancel()
            with pytest.raises(asyncio.CancelledError):
                await load
            return len([task for task in asyncio.all_tasks() if "dilu" in repr(task.get_coro())])

    assert asyncio.run(main()) == 0


def test_a_reachable_url_has_no_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert unreachable_reason(f"http://127.0.0.1:{listening.getsockname()[1]}/") is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), "timeout"),
        (ConnectionResetError(104, "reset"), "disconnected"),
        (aiohttp.ServerDisconnectedError(), "disconnected"),
        (aiohttp.ClientOSError(104, "reset"), "disconnected"),
        (aiohttp.ClientOSError(113, "no route to host"), "connect"),
        (aiohttp.ClientOSError(24, "too many open files"), "open-files"),
        (aiohttp.ClientOSError(99, "cannot assign address"), "local-ports"),
        (aiohttp.ClientPayloadError(), "cut-off"),
        (ZeroDivisionError(), "ZeroDivisionError"),
    ],
)
def test_failures_have_short_names(error: Exception, kind: str) -> None:
    assert failure_kind(error) == kind


def test_a_name_with_several_addresses_that_all_refuse_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://localhost:{taken.getsockname()[1]}/"
        result = run_load_sync(LoadPlan(url=url, arrivals=constant(1, 1)))
    assert result.records[0].error == "refused"
