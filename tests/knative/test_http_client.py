"""Small GETs: connections are kept, whatever goes wrong is told, and nothing is left behind."""

from __future__ import annotations

import asyncio

import pytest

from dilu.http.addresses import host_header
from dilu.http.client import gets
from dilu.http.client.gets import MAX_BODY_BYTES, GetClient, GetFailed, GetResponse, get_request
from knative.queue_proxies import Pods, answer, pods
from loops import Run, until

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def get(
    client: GetClient, seen: Pods, *, host: str = "127.0.0.1", keep_alive: bool = True
) -> GetResponse | GetFailed:
    answered: asyncio.Future[GetResponse | GetFailed] = asyncio.get_running_loop().create_future()
    request = get_request("/metrics", {"Host": host_header((host, seen.port))})
    client.get((host, seen.port), request, answered.set_result, keep_alive=keep_alive)
    return await answered


def test_one_connection_serves_one_request_after_the_other(run: Run) -> None:
    async def main() -> None:
        async with pods(lambda _, before: answer(str(before).encode()), "127.0.0.1") as seen:
            client = GetClient()
            assert [await get(client, seen) for _ in range(3)] == [
                GetResponse(status=200, content_type="text/plain", body=body) for body in (b"0", b"1", b"2")
            ]
            assert (seen.connections, client.connections) == (1, 1)
            await client.close()
            assert client.connections == 0

    run(main)


def test_without_keep_alive_each_request_has_its_own_connection(run: Run) -> None:
    async def main() -> None:
        async with pods(lambda _, __: answer(), "127.0.0.1") as seen:
            client = GetClient()
            for _ in range(2):
                assert isinstance(await get(client, seen, keep_alive=False), GetResponse)
            assert seen.connections == 2
            await until(lambda: client.connections == 0)
            await client.close()

    run(main)


def test_a_server_that_closes_every_connection_is_asked_once(run: Run) -> None:
    async def main() -> None:
        async with pods(lambda _, __: b"", "127.0.0.1", closes=True) as seen:
            client = GetClient()
            assert isinstance(await get(client, seen), GetFailed)
            assert seen.connections == 1
            await client.close()

    run(main)


def test_an_idle_connection_that_ends_frees_its_place(run: Run) -> None:
    async def main() -> None:
        async with pods(lambda _, __: answer(), "127.0.0.1", closes=True) as seen:
            client = GetClient(max_idle=1)
            await get(client, seen)
            await until(lambda: client.connections == 0)
            seen.closes = False
            for _ in range(3):
                await get(client, seen)
            assert seen.connections == 2
            await client.close()

    run(main)


def test_a_kept_connection_that_its_server_ended_is_replaced(run: Run) -> None:
    async def main() -> None:
        async with pods(lambda _, __: answer(b"ok"), "127.0.0.1", closes=True) as seen:
            client = GetClient()
            for _ in range(3):
                assert isinstance(await get(client, seen), GetResponse)
            assert seen.connections == 3
            await client.close()

    run(main)


def test_a_request_whose_answer_has_begun_is_not_sent_again(run: Run) -> None:
    def begins(_: str, before: int) -> bytes:
        return answer(b"ok") if before == 0 else b"HTTP/1.1 200 OK\r\n"

    async def main() -> None:
        async with pods(begins, "127.0.0.1") as seen:
            client = GetClient(timeout_s=0.2)
            assert isinstance(await get(client, seen), GetResponse)
            seen.closes = True  # the kept connection ends in the middle of its second answer
            result = await get(client, seen)
            assert isinstance(result, GetFailed)
            assert "closed the connection before its response was complete" in result.reason
            assert len(seen.requests) == 2
            await client.close()

    run(main)


def test_an_answer_in_pieces_after_an_interim_one_is_one_answer(run: Run) -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    )

    async def main() -> None:
        async with pods(lambda _, __: b"HTTP/1.1 103 Early Hints\r\n\r\n" + chunked, "127.0.0.1") as seen:
            client = GetClient()
            for _ in range(2):
                assert await get(client, seen) == GetResponse(status=200, content_type="a/b", body=b"abc")
            assert seen.connections == 1
            await client.close()

    run(main)


def test_a_body_is_read_up_to_its_limit(run: Run) -> None:
    async def main() -> None:
        async with pods(lambda _, __: answer(b"x" * 1_000_000), "127.0.0.1") as seen:
            client = GetClient()
            result = await get(client, seen)
            assert isinstance(result, GetResponse)
            assert result.body == b"x" * MAX_BODY_BYTES
            await until(lambda: client.connections == 0)
            await client.close()

    run(main)


def test_a_body_whose_rest_never_comes_is_read_up_to_its_limit(run: Run) -> None:
    async def main() -> None:
        sent = answer(b"x" * 1_000)[:-500]
        async with pods(lambda _, __: sent, "127.0.0.1") as seen:
            client = GetClient()
            result = await get(client, seen)
            assert isinstance(result, GetResponse)
            assert len(result.body) == MAX_BODY_BYTES
            await until(lambda: client.connections == 0)
            await client.close()

    run(main)


def test_a_body_of_just_the_limit_keeps_the_connection(run: Run) -> None:
    async def main() -> None:
        async with pods(lambda _, __: answer(b"x" * MAX_BODY_BYTES), "127.0.0.1") as seen:
            client = GetClient()
            for _ in range(2):
                assert isinstance(await get(client, seen), GetResponse)
            assert seen.connections == 1
            await client.close()

    run(main)


def test_two_answers_to_one_request_end_the_connection(run: Run) -> None:
    async def main() -> None:
        async with pods(lambda _, __: answer(b"first") + answer(b"second"), "127.0.0.1") as seen:
            client = GetClient()
            for _ in range(2):
                assert await get(client, seen) == GetResponse(status=200, content_type="text/plain", body=b"first")
            assert seen.connections == 2
            await client.close()

    run(main)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, "head is larger than"),
        (CHUNKED + b"0\r\nX: " + b"x" * 200_000, "no end of the response"),
        (CHUNKED + b"1;" + b"x" * 200_000, "no end of the response"),
    ],
)
def test_what_is_no_answer_is_told(run: Run, sent: bytes, why: str) -> None:
    async def main() -> None:
        async with pods(lambda _, __: sent, "127.0.0.1") as seen:
            client = GetClient()
            result = await get(client, seen)
            assert isinstance(result, GetFailed)
            assert why in result.reason
            await client.close()

    run(main)


def test_a_server_that_never_answers_is_given_up(run: Run) -> None:
    async def main() -> None:
        async with pods(lambda _, __: None, "127.0.0.1") as seen:
            client = GetClient(timeout_s=0.05)
            result = await get(client, seen)
            assert result == GetFailed(reason=f"127.0.0.1:{seen.port}: no response within 0.05 s")
            await client.close()

    run(main)


def test_a_closed_port_and_an_unknown_name_are_told(run: Run) -> None:
    async def main() -> None:
        async with pods(lambda _, __: answer(), "127.0.0.1") as seen:
            client = GetClient()
            assert isinstance(await get(client, seen, host="127.0.0.9"), GetFailed)
            assert isinstance(await get(client, seen, host="a" * 70 + ".invalid"), GetFailed)
            await client.close()

    run(main)


def test_closing_ends_what_is_under_way(run: Run) -> None:
    async def main() -> None:
        async with pods(lambda _, __: None, "127.0.0.1") as seen:
            client = GetClient()
            under_way = asyncio.ensure_future(get(client, seen))
            await seen.asked.wait()
            await client.close()
            assert await under_way == GetFailed(reason="the client was closed")
            assert await get(client, seen) == GetFailed(reason="the client was closed")

    run(main)


def test_of_too_many_idle_connections_the_one_that_comes_back_is_closed(run: Run) -> None:
    async def main() -> None:
        async with pods(lambda _, __: answer(), "127.0.0.1", "127.0.0.2", "127.0.0.3") as seen:
            client = GetClient(max_idle=2)
            for last in (1, 2, 3):
                await get(client, seen, host=f"127.0.0.{last}")
            await until(lambda: client.connections == 2)
            await get(client, seen, host="127.0.0.1")
            await get(client, seen, host="127.0.0.2")
            assert seen.connections == 3
            await get(client, seen, host="127.0.0.3")
            assert seen.connections == 4
            await client.close()

    run(main)


def test_an_upgrade_is_no_response(run: Run) -> None:
    async def main() -> None:
        upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n?"
        async with pods(lambda _, __: upgrade, "127.0.0.1") as seen:
            client = GetClient()
            result = await get(client, seen)
            assert isinstance(result, GetFailed)
            assert "switched to another protocol" in result.reason
            await client.close()

    run(main)


def test_a_body_without_a_length_ends_with_its_connection(run: Run) -> None:
    async def main() -> None:
        async with pods(lambda _, __: b"HTTP/1.1 200 OK\r\n\r\nok", "127.0.0.1", closes=True) as seen:
            client = GetClient()
            for _ in range(2):
                assert await get(client, seen) == GetResponse(status=200, content_type="", body=b"ok")
            assert seen.connections == 2
            await client.close()

    run(main)


def test_idle_connections_are_closed_when_their_time_is_over(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr(gets, "MAX_IDLE_S", 0.05)

    async def main() -> None:
        async with pods(lambda _, __: answer(), "127.0.0.1", "127.0.0.2") as seen:
            client = GetClient()
            await get(client, seen)
            await get(client, seen, host="127.0.0.2")
            assert client.connections == 2
            while client.connections == 2:  # until the one to the other address is closed
                await get(client, seen, host="127.0.0.2")
            await client.close()

    run(main)
