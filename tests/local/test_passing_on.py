"""What the gateway makes of replicas' answers, the odd ones included: bytes in, bytes out."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Callable

import pytest

from dilu.http import bounded_protocol as protocol
from dilu.http.client import upstream
from dilu_autoscaler.load_sampler import whole_us
from dilu_autoscaler.local.proxied_request import ACCESS_LOG, GatewayLimits
from local.gateway_bench import HandMadeReplica, bench, hangs_up, replica, run, says

OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\ndilu-refused: %s\r\ncontent-length: 2\r\n\r\nno"


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def _head(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[0].lower()


def _error(answer: bytes) -> dict[str, str]:
    error: dict[str, str] = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    return error


def test_an_answer_is_passed_on_with_its_request_id() -> None:
    async def scenario() -> None:
        async with bench() as gateway, replica(says(OK)) as one:
            gateway.add(one.port)
            answer = await gateway.post("/f/v2/models?x=%20y", headers="x-request-id: mine\r\nte: trailers\r\n")
            assert _status(answer) == 200
            assert answer.endswith(b"\r\n\r\nok")
            assert b"x-request-id: mine" in _head(answer)
            assert one.heads[0].startswith(b"POST /v2/models?x=%20y HTTP/1.1\r\n")
            assert b"host: test\r\n" in one.heads[0]
            assert b"x-request-id: mine\r\n" in one.heads[0]
            assert b"x-forwarded-for: 127.0.0.1\r\n" in one.heads[0]
            assert b"te:" not in one.heads[0]
            assert b"connection:" not in one.heads[0]

    run(scenario())


def test_connections_to_a_replica_are_used_again() -> None:
    async def scenario() -> None:
        connections: set[int] = set()

        async def talk(made: HandMadeReplica, writer: asyncio.StreamWriter) -> None:
            connections.add(id(writer))
            writer.write(OK)

        async with bench() as gateway, replica(talk) as one:
            gateway.add(one.port)
            for _ in range(5):
                assert _status(await gateway.post()) == 200
        assert len(connections) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("sent", "status", "body"),
    [
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", id="no content"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304, b"", id="a length but no body"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            200,
            b"3\r\nabc\r\n0\r\n\r\n",
            id="chunked",
        ),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok", id="an interim answer before"),
        pytest.param(b"HTTP/1.1 418 I'm a teapot\r\ncontent-length: 3\r\n\r\ntea", 418, b"tea", id="client error"),
    ],
)
def test_answers_of_every_shape_are_passed_on(sent: bytes, status: int, body: bytes) -> None:
    async def scenario() -> None:
        async with bench() as gateway, replica(says(sent)) as one:
            gateway.add(one.port)
            for _ in range(2):  # the second one shows that the connection is still in step
                answer = await gateway.post()
                assert _status(answer) == status
                assert answer.partition(b"\r\n\r\n")[2] == body

    run(scenario())


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    async def scenario() -> None:
        async def talk(made: HandMadeReplica, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
            await writer.drain()
            writer.close()

        async with bench() as gateway, replica(talk) as one:
            gateway.add(one.port)
            assert b"until the end" in await gateway.post()

    run(scenario())


def test_head_requests_have_no_body() -> None:
    async def scenario() -> None:
        async with bench() as gateway, replica(says(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n")) as one:
            gateway.add(one.port)
            for _ in range(2):
                answer = await gateway.exchange(b"HEAD /f HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                assert answer.endswith(b"\r\n\r\n")
                assert b"content-length: 7" in _head(answer)

    run(scenario())


def test_a_stream_comes_piece_by_piece() -> None:
    async def scenario() -> None:
        proceed = asyncio.Event()

        async def talk(made: HandMadeReplica, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            writer.write(b"8\r\ndata: 1\n\r\n")
            await proceed.wait()
            writer.write(b"8\r\ndata: 2\n\r\n0\r\n\r\n")

        async with bench() as gateway, replica(talk) as one:
            gateway.add(one.port)
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"GET /f HTTP/1.1\r\nhost: x\r\n\r\n")
            first = await asyncio.wait_for(reader.readuntil(b"data: 1\n"), 5.0)
            assert b"text/event-stream" in first
            proceed.set()
            await asyncio.wait_for(reader.readuntil(b"data: 2\n"), 5.0)
            writer.transport.abort()

    run(scenario())


def test_a_long_answer_to_a_slow_client_is_not_kept_in_memory() -> None:
    async def scenario() -> None:
        written = 0

        async def talk(made: HandMadeReplica, writer: asyncio.StreamWriter) -> None:
            nonlocal written
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (64 * 1024 * 1024))
            for _ in range(1024):
                writer.write(b"x" * 65536)
                await writer.drain()
                written += 65536

        async with bench() as gateway, replica(talk) as one:
            gateway.add(one.port)
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=65536)
            writer.write(b"GET /f HTTP/1.1\r\nhost: x\r\n\r\n")
            seen = -1
            while written != seen:  # until nothing moves any more: the client reads nothing
                seen = written
                await asyncio.sleep(0.2)
            assert written < 32 * 1024 * 1024
            received = 0
            while received < 64 * 1024 * 1024:
                received += len(await asyncio.wait_for(reader.read(1 << 20), 5.0))
            writer.transport.abort()

    run(scenario())


@pytest.mark.parametrize(
    ("sent", "says_what"),
    [
        pytest.param(None, "closed the connection", id="no answer"),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", "not HTTP", id="another protocol"),
        pytest.param(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n?",
            "switched to another protocol",
            id="an upgrade",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 300_000, "larger than 65536", id="a head without an end"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", "must be at most", id="a huge head"),
    ],
)
def test_an_answer_that_was_lost_is_a_502_and_never_sent_twice(sent: bytes | None, says_what: str) -> None:
    async def scenario() -> None:
        async with (
            bench() as gateway,
            replica(hangs_up if sent is None else says(sent)) as one,
            replica(says(OK)) as other,
        ):
            gateway.add(one.port)
            gateway.add(other.port, name="other")
            lost = await gateway.post()
            assert _status(lost) == 502
            assert _error(lost)["code"] == "replica-lost"
            assert says_what in _error(lost)["message"]
            assert not other.heads
            assert gateway.served.outcomes.errors == 1

    run(scenario())


def test_headers_of_an_interim_answer_are_not_those_of_the_answer() -> None:
    async def scenario() -> None:
        early = b"HTTP/1.1 103 Early Hints\r\nx-early: 1\r\ncontent-length: 9\r\n\r\n"
        async with bench() as gateway, replica(says(early + OK)) as one:
            gateway.add(one.port)
            answer = await gateway.post()
            assert _status(answer) == 200
            assert b"x-early" not in _head(answer)

    run(scenario())


def test_a_removed_replica_loses_its_connections_after_their_answers() -> None:
    async def scenario() -> None:
        proceed = asyncio.Event()

        async def talk(made: HandMadeReplica, writer: asyncio.StreamWriter) -> None:
            await proceed.wait()
            writer.write(OK)

        async with bench() as gateway, replica(talk) as one:
            backend = gateway.add(one.port)
            posted = asyncio.ensure_future(gateway.post())
            await _until(lambda: len(one.heads) == 1)
            gateway.backends.remove(backend)
            proceed.set()
            assert _status(await posted) == 200
            await asyncio.wait_for(one.client_left.wait(), 5.0)

    run(scenario())


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"GET"])
def test_a_kept_connection_that_breaks_loses_its_request_and_never_sends_it_again(method: bytes) -> None:
    async def scenario() -> None:
        async def talk(made: HandMadeReplica, writer: asyncio.StreamWriter) -> None:
            if len(made.heads) > 1:
                raise ConnectionResetError
            writer.write(OK)

        async with bench() as gateway, replica(talk) as one, replica(says(OK)) as other:
            gateway.add(one.port)
            assert _status(await gateway.post()) == 200
            gateway.add(other.port, name="other")
            request = b"%b /f HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1\r\n\r\n1" % method
            assert _status(await gateway.exchange(request)) == 502
            assert (len(one.heads), len(other.heads)) == (2, 0)

    run(scenario())


def test_a_connection_that_was_idle_too_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "_MAX_IDLE_S", -1.0)  # so that no time needs to pass

    async def scenario() -> None:
        async with bench() as gateway:
            seen: set[int] = set()

            async def talk(made: HandMadeReplica, writer: asyncio.StreamWriter) -> None:
                seen.add(writer.get_extra_info("peername")[1])
                writer.write(OK)

            async with replica(talk) as one:
                gateway.add(one.port)
                for _ in range(3):
                    assert _status(await gateway.post()) == 200
            assert len(seen) == 3

    run(scenario())


def test_an_answer_that_breaks_off_is_cut_and_not_ended() -> None:
    async def scenario() -> None:
        async def talk(made: HandMadeReplica, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)
            raise ConnectionResetError

        async with bench() as gateway, replica(talk) as one:
            gateway.add(one.port)
            answer = await gateway.post()
            assert b"3\r\nabc\r\n" in answer
            assert not answer.endswith(b"0\r\n\r\n")  # the client can tell that this is not all
            outcomes = gateway.served.outcomes
            assert (outcomes.requests, outcomes.errors, outcomes.slo_attainment) == (1, 1, 0.0)

    run(scenario())


def test_an_answer_that_does_not_begin_in_time_is_a_504() -> None:
    async def scenario() -> None:
        async def talk(made: HandMadeReplica, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(30.0)

        async with bench(limits=GatewayLimits(answer_within_s=0.1)) as gateway, replica(talk) as one:
            backend = gateway.add(one.port)
            answer = await gateway.post()
            assert _status(answer) == 504
            assert _error(answer)["code"] == "answer-late"
            assert backend.in_flight == 0

    run(scenario())


def test_a_replica_that_takes_no_connection_is_passed_over() -> None:
    async def scenario() -> None:
        async with bench() as gateway, replica(says(OK)) as one:
            closed = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
            port = closed.sockets[0].getsockname()[1]
            closed.close()
            gateway.add(port, name="closed")
            gateway.add(one.port)
            assert [_status(await gateway.post()) for _ in range(3)] == [200] * 3
            assert gateway.unreachable == ["closed"]

    run(scenario())


@pytest.mark.parametrize("reason", [b"draining", b"queue-full"])
def test_what_one_replica_refused_unexecuted_another_one_answers(reason: bytes) -> None:
    async def scenario() -> None:
        async with bench() as gateway, replica(says(REFUSED % reason)) as one, replica(says(OK)) as other:
            gateway.add(one.port)
            gateway.add(other.port, name="other")
            answers = [await gateway.post(body=b"[1]") for _ in range(4)]
            assert [_status(answer) for answer in answers] == [200] * 4
            assert len(one.heads) == 1 if reason == b"draining" else len(one.heads) >= 1
            assert set(other.bodies) == {b"[1]"}
            assert b"dilu-refused" not in _head(answers[0])

    run(scenario())


def test_a_refusal_is_passed_on_where_there_is_no_other_replica() -> None:
    async def scenario() -> None:
        async with bench() as gateway, replica(says(REFUSED % b"queue-full")) as one:
            gateway.add(one.port)
            answer = await gateway.post()
            assert _status(answer) == 503
            assert b"dilu-refused: queue-full" in _head(answer)

    run(scenario())


def test_what_a_draining_replica_refused_waits_in_front_for_its_successor() -> None:
    async def scenario() -> None:
        drain = asyncio.Event()

        async def refuses(made: HandMadeReplica, writer: asyncio.StreamWriter) -> None:
            await drain.wait()
            writer.write(REFUSED % b"draining")

        async with bench() as gateway, replica(refuses) as one, replica(says(OK)) as other:
            gateway.add(one.port, max_in_flight=1)
            first = asyncio.ensure_future(gateway.post(body=b"first"))
            await _until(lambda: len(one.heads) == 1)
            second = asyncio.ensure_future(gateway.post(body=b"second"))
            await _until(lambda: gateway.backends.waiting == 1)
            drain.set()
            await _until(lambda: gateway.backends.waiting == 2)
            gateway.add(other.port, name="other", max_in_flight=1)
            assert [_status(answer) for answer in await asyncio.gather(first, second)] == [200, 200]
            assert other.bodies == [b"first", b"second"]

    run(scenario())


def test_a_client_that_leaves_is_seen_by_the_replica() -> None:
    async def scenario() -> None:
        async with bench() as gateway:
            left = asyncio.Event()

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.read() == b"1"  # the body, then the end: the gateway closed
                left.set()
                writer.close()

            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            backend = gateway.add(server.sockets[0].getsockname()[1])
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"POST /f HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n1")
            await _until(lambda: backend.in_flight == 1)
            writer.transport.abort()
            await asyncio.wait_for(left.wait(), 5.0)
            await _until(lambda: backend.in_flight == 0 and gateway.served.load.in_flight == 0)
            outcomes = gateway.served.outcomes
            assert (outcomes.requests, outcomes.abandoned, outcomes.errors) == (1, 1, 0)
            assert outcomes.slo_attainment is None  # it was not late yet
            server.close()

    run(scenario())


def test_a_client_that_leaves_the_queue_frees_its_place() -> None:
    async def scenario() -> None:
        async with bench() as gateway:
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"POST /f HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n1")
            await _until(lambda: gateway.backends.waiting == 1)
            writer.transport.abort()
            await _until(lambda: gateway.backends.waiting == 0 and gateway.served.load.in_flight == 0)

    run(scenario())


def test_a_body_that_is_too_large_is_refused_and_the_connection_survives() -> None:
    async def scenario() -> None:
        limits = GatewayLimits(max_body_bytes=1000)
        async with bench(limits=limits) as gateway, replica(says(OK)) as one:
            gateway.add(one.port)
            large = b"POST /f HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n" + b"x" * 100_000
            small = b"POST /f HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n11"
            answers = await gateway.exchange(large + small)
            assert answers.startswith(b"HTTP/1.1 413 ")
            assert b"body-too-large" in answers
            assert answers.endswith(b"ok")
            assert one.bodies == [b"11"]

    run(scenario())


def test_unknown_functions_and_the_gateways_own_paths() -> None:
    async def scenario() -> None:
        async with bench() as gateway:
            unknown = await gateway.post("/h")
            assert _status(unknown) == 404
            assert _error(unknown)["message"] == "/h: no such function; available: f, g"
            own = await gateway.exchange(b"GET /_dilu/healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert own.endswith(b'{"status":"ok"}')
            assert _status(await gateway.post("/_dilu/other")) == 404

    run(scenario())


def test_while_draining_each_answer_tells_the_client_to_leave() -> None:
    async def scenario() -> None:
        async with bench() as gateway, replica(says(OK)) as one:
            gateway.add(one.port)
            gateway.app.is_draining = True
            for path, status in ((b"/f", 200), (b"/h", 404), (b"/_dilu/healthz", 503), (b"/_dilu/other", 404)):
                # The request does not ask for the end of its connection: only the answer can bring it about.
                answer = await gateway.exchange(b"GET " + path + b" HTTP/1.1\r\nhost: x\r\n\r\n")
                assert _status(answer) == status
                assert b"connection: close" in _head(answer)

    run(scenario())


@pytest.mark.parametrize(
    ("sent", "body", "connections"),
    [
        pytest.param(
            OK + b"HTTP/1.1 500 Oops\r\nx-extra: 1\r\ncontent-length: 3\r\n\r\nbad",
            b"ok",
            2,
            id="two answers in one piece",
        ),
        pytest.param(OK + b"rubbish", b"ok", 2, id="rubbish behind it"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-extra: 1\r\n\r\n",
            b"2\r\nok\r\n0\r\n\r\n",
            1,
            id="trailers",
        ),
    ],
)
def test_what_follows_an_answer_is_no_part_of_it(sent: bytes, body: bytes, connections: int) -> None:
    async def scenario() -> None:
        seen: set[int] = set()

        async def talk(made: HandMadeReplica, writer: asyncio.StreamWriter) -> None:
            seen.add(writer.get_extra_info("peername")[1])
            writer.write(sent)

        async with bench() as gateway, replica(talk) as one:
            gateway.add(one.port)
            for _ in range(2):
                answer = await gateway.post()
                assert _status(answer) == 200
                assert b"x-extra" not in answer
                assert answer.partition(b"\r\n\r\n")[2] == body
        assert len(seen) == connections  # one that is out of step is not used again

    run(scenario())


def test_open_streams_leave_room_for_requests() -> None:
    async def scenario() -> None:
        async def talk(made: HandMadeReplica, writer: asyncio.StreamWriter) -> None:
            writer.write(STREAM if made.heads[-1].startswith(b"GET") else OK)

        async with bench() as gateway, replica(talk) as one:
            backend = gateway.add(one.port, max_in_flight=2)
            writers = []
            for _ in range(2):
                reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                writers.append(writer)
                writer.write(b"GET /f HTTP/1.1\r\nhost: x\r\n\r\n")
                await asyncio.wait_for(reader.readuntil(b"data: 1\n"), 5.0)
            assert (backend.in_flight, backend.streams) == (2, 2)
            assert _status(await gateway.post()) == 200
            for writer in writers:
                writer.transport.abort()
            await _until(lambda: backend.in_flight == 0 and backend.streams == 0)
            outcomes = gateway.served.outcomes
            assert (outcomes.requests, outcomes.abandoned, outcomes.errors) == (3, 0, 0)  # they had their answer

    run(scenario())


@pytest.mark.parametrize("has_length", [True, False])
def test_a_client_that_takes_nothing_is_cut_and_its_place_is_free(
    has_length: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "UNREAD_TIMEOUT_S", 0.5)

    async def scenario() -> None:
        async def talk(made: HandMadeReplica, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n" + (b"content-length: 67108864\r\n\r\n" if has_length else b"\r\n"))
            for _ in range(1024):
                writer.write(b"x" * 65536)
                await writer.drain()

        async with bench() as gateway, replica(talk) as one:
            backend = gateway.add(one.port, max_in_flight=1)
            with socket.create_connection(("127.0.0.1", gateway.port)) as client:
                client.sendall(b"GET /f HTTP/1.1\r\nhost: x\r\n\r\n")
                await _until(lambda: backend.in_flight == 1)
                await _until(lambda: backend.in_flight == 0 and gateway.served.load.in_flight == 0)
                await asyncio.wait_for(one.client_left.wait(), 5.0)  # the replica need not go on
            assert backend.streams == 0
            assert gateway.served.outcomes.requests == 1

    run(scenario())


@pytest.mark.parametrize(
    ("answer", "slo_ms", "missed"),
    [
        pytest.param(b"HTTP/1.1 200 OK", 60_000.0, 0.0, id="in time"),
        pytest.param(b"HTTP/1.1 200 OK", 0.001, 1.0, id="late"),
        pytest.param(b"HTTP/1.1 200 OK", None, 0.0, id="without an objective"),
        pytest.param(b"HTTP/1.1 429 Too Many", None, 1.0, id="refused"),
        pytest.param(b"HTTP/1.1 500 Oops", 60_000.0, 1.0, id="failed"),
        pytest.param(b"HTTP/1.1 400 Bad", 0.001, 0.0, id="client error"),
    ],
)
def test_a_second_tells_what_missed_its_objective_in_it(answer: bytes, slo_ms: float | None, missed: float) -> None:
    async def scenario() -> None:
        async with bench() as gateway, replica(says(answer + b"\r\ncontent-length: 0\r\n\r\n")) as one:
            gateway.add(one.port)
            gateway.served.outcomes.slo_ms = slo_ms
            await gateway.post()
            samples = gateway.served.load.take(whole_us(time.monotonic() + 1.0))
            assert sum(sample.rps for sample in samples) == 1.0
            assert sum(sample.missed or 0.0 for sample in samples) == missed

    run(scenario())


def test_a_clients_mistake_is_a_request_and_neither_fast_nor_slow() -> None:
    async def scenario() -> None:
        async with bench() as gateway, replica(says(b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n")) as one:
            gateway.add(one.port)
            assert _status(await gateway.post()) == 400
            outcomes = gateway.served.outcomes
            assert (outcomes.requests, outcomes.errors, outcomes.slo_attainment) == (1, 0, None)

    run(scenario())


def test_the_access_log_has_the_path_as_it_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with bench() as gateway, replica(says(OK)) as one:
            gateway.add(one.port)
            assert _status(await gateway.post("/f/%0afn=f%1b[31m")) == 200

    with caplog.at_level(logging.INFO, ACCESS_LOG):
        run(scenario())
    lines = [record.getMessage() for record in caplog.records if record.name == ACCESS_LOG]
    assert [line.split(" 200 ")[0] for line in lines] == ["fn=f POST /f/%0afn=f%1b[31m"]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5.0):
        while not condition():
            await asyncio.sleep(0.005)
