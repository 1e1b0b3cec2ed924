"""The port that activators report to: what it answers, what it takes, and whom it cuts."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from dilu_autoscaler.knative.reports.stat_server import FRAMES_IN_A_ROW, MAX_FRAME_BYTES, StatServer
from dilu_autoscaler.knative.reports.stats import Stat, write_frame
from loops import Run, until

OURS = "autoscaler-bucket-00-of-02"
OTHERS = "autoscaler-bucket-01-of-02"
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10


def stat(key: str = "ns/rev", *, time_s: int = 0) -> Stat:
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


class Served:
    """A server with what it took."""

    def __init__(
        self,
        *,
        max_silence_s: float = 60.0,
        first_request_within_s: float = 60.0,
        most: int = 100,
        max_each: int = 100,
    ) -> None:
        self.taken: list[Stat] = []
        self.port = 0
        self.server = StatServer(
            self.take,
            owns=lambda bucket: bucket == OURS,
            now_s=lambda: 1234.5,
            max_silence_s=max_silence_s,
            first_request_within_s=first_request_within_s,
            max_connections=most,
            max_per_address=max_each,
        )

    def take(self, stats: Sequence[Stat]) -> None:
        self.taken += stats

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@asynccontextmanager
async def serving(served: Served) -> AsyncIterator[aiohttp.ClientSession]:
    served.port = await served.server.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:
            yield session
    finally:
        await served.server.stop()


def frame(opcode: int, payload: bytes = b"") -> bytes:
    """A client's frame, as it is on the wire."""
    mask = b"\x01\x02\x03\x04"
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    return bytes([0x80 | opcode]) + length + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


async def raw_websocket(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A websocket as Go's client opens it, of which the test sees each byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(os.urandom(16)).decode()
    head = (
        f"GET / HTTP/1.1\r\nHost: autoscaler.knative-serving.svc.cluster.local:{port}\r\n"
        "User-Agent: Go-http-client/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    writer.write(head.encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    return reader, writer


async def ended(reader: asyncio.StreamReader) -> None:
    """Wait for the end of a connection, however it comes."""
    with suppress(ConnectionError):
        await reader.read()


async def took(served: Served, count: int) -> None:
    await until(lambda: len(served.taken) >= count)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"User-Agent": "kube-probe/1.34"}, 200),
        ({"K-Kubelet-Probe": "queue"}, 200),
        ({"User-Agent": "curl/8"}, 400),
        ({"Host": f"{OTHERS}.knative-serving.svc.cluster.local:8080"}, 200),
        ({"Host": OTHERS}, 200),
        ({"Host": f"{OURS}.knative-serving.svc.cluster.local:8080"}, 400),
    ],
)
def test_requests_that_are_no_handshakes(run: Run, headers: dict[str, str], status: int) -> None:
    async def main() -> None:
        served = Served()
        async with serving(served) as session:
            for path in ("", "any/path"):
                async with session.get(served.url + path, headers=headers) as response:
                    assert response.status == status
                    assert status != 200 or await response.read() == b""

    run(main)


def test_reports_are_taken_frame_by_frame(run: Run) -> None:
    async def main() -> None:
        served = Served()
        async with serving(served) as session, session.ws_connect(served.url) as ws:
            await ws.send_bytes(write_frame([stat("ns/a"), stat("ns/b", time_s=77)]))
            await ws.send_bytes(write_frame([stat("ns/c")]))
            await until(lambda: len(served.taken) == 3)
            assert [(one.key, one.time_s) for one in served.taken] == [("ns/a", 1234), ("ns/b", 77), ("ns/c", 1234)]
            assert served.server.clients == 1
        assert served.server.clients == 0

    run(main)


def test_texts_and_garbage_are_counted_and_the_connection_goes_on(run: Run) -> None:
    async def main() -> None:
        served = Served()
        async with serving(served) as session, session.ws_connect(served.url) as ws:
            await ws.send_str("{}")
            await ws.send_frame(b"\xff\xfe", aiohttp.WSMsgType.TEXT)  # no UTF-8 either
            await ws.send_bytes(b"\xff\xff\xff")
            await ws.send_bytes(b"\x0a\x09\x0a\x02ns\x12\x03rev")  # a report without contents
            await ws.send_bytes(write_frame([stat()]))
            await until(lambda: len(served.taken) == 1)
            counts = served.server.counts
            assert (counts.frames, counts.texts, counts.undecodable, counts.empty, counts.stats) == (5, 2, 1, 1, 1)

    run(main)


def test_pings_are_answered_and_nothing_else_is_sent(run: Run) -> None:
    async def main() -> None:
        served = Served()
        async with serving(served):
            reader, writer = await raw_websocket(served.port)
            writer.write(frame(PING) + frame(BINARY, write_frame([stat()])) + frame(PING, b"x"))
            assert await reader.readexactly(5) == bytes([0x80 | PONG, 0, 0x80 | PONG, 1]) + b"x"
            assert len(served.taken) == 1
            writer.close()
            await until(lambda: served.server.clients == 0)
            assert await reader.read() == b""

    run(main)


def test_a_bucket_that_is_ours_can_be_sent_to_by_its_name(run: Run) -> None:
    async def main() -> None:
        served = Served()
        async with serving(served) as session:
            async with session.ws_connect(served.url, headers={"Host": f"{OURS}.ns.svc.cluster.local:8080"}) as ws:
                await ws.send_bytes(write_frame([stat()]))
                await until(lambda: bool(served.taken))
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(served.url, headers={"Host": f"{OTHERS}.ns.svc.cluster.local:8080"})
            assert refused.value.status == 200

    run(main)


def test_a_web_page_of_somewhere_else_gets_no_websocket(run: Run) -> None:
    async def main() -> None:
        served = Served()
        async with serving(served) as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(served.url, origin="http://evil.example")
            assert refused.value.status == 403
            async with session.ws_connect(served.url, origin=f"http://127.0.0.1:{served.port}"):
                pass

    run(main)


def test_at_the_end_every_client_is_told_to_reconnect(run: Run) -> None:
    async def main() -> None:
        served = Served()
        async with serving(served) as session:
            websockets = [await session.ws_connect(served.url) for _ in range(3)]
            await until(lambda: served.server.clients == 3)
            stopping = asyncio.create_task(served.server.stop())
            for ws in websockets:
                message = await ws.receive()
                assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 1012, "Restarting")
            await stopping
            assert served.server.clients == 0

    run(main)


def test_at_the_end_who_does_not_answer_is_cut(run: Run) -> None:
    async def main() -> None:
        served = Served()
        async with serving(served):
            reader, writer = await raw_websocket(served.port)
            await until(lambda: served.server.clients == 1)
            await served.server.stop(within_s=0.05)
            said = b"\x03\xf4Restarting"
            assert await reader.readexactly(len(said) + 2) == bytes([0x80 | CLOSE, len(said)]) + said
            writer.close()

    run(main)


def test_too_long_a_message_ends_its_connection(run: Run) -> None:
    async def main() -> None:
        served = Served()
        async with serving(served):
            reader, writer = await raw_websocket(served.port)
            writer.write(bytes([0x80 | BINARY, 0xFF]) + struct.pack(">Q", MAX_FRAME_BYTES + 1) + b"mask" + b"x" * 100)
            opcode, length = await reader.readexactly(2)
            assert opcode == 0x80 | CLOSE
            assert (await reader.readexactly(length))[:2] == struct.pack(">H", 1009)
            await until(lambda: served.server.clients == 0)
            writer.close()

    run(main)


def test_who_says_nothing_is_cut(run: Run) -> None:
    async def main() -> None:
        served = Served(max_silence_s=0.05)
        async with serving(served):
            reader, writer = await raw_websocket(served.port)
            await ended(reader)
            assert served.server.clients == 0
            assert served.server.counts.cut == 1
            writer.close()

    run(main)


def test_who_pings_and_never_reads_is_cut_and_others_are_served_meanwhile(run: Run) -> None:
    async def main() -> None:
        served = Served(max_silence_s=1.0)
        counts = served.server.counts
        async with serving(served) as session:
            _, writer = await raw_websocket(served.port)
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # every socket's transport has it
            flood = frame(PING, b"p" * 100) * 1000
            try:
                async with session.ws_connect(served.url) as ws:
                    answered = 0
                    while counts.cut == 0:
                        if not writer.transport.is_closing() and writer.transport.get_write_buffer_size() < 1_000_000:
                            writer.write(flood)
                        await ws.send_bytes(write_frame([stat()]))
                        answered += 1
                        await until(lambda: counts.cut > 0 or len(served.taken) >= answered)  # noqa: B023 (awaited here)
                    assert answered > 1
            finally:
                writer.transport.abort()

    run(main)


def test_others_are_read_in_turn_with_who_floods(run: Run) -> None:
    async def main() -> None:
        served = Served()
        async with serving(served) as session:
            _, writer = await raw_websocket(served.port)
            async with session.ws_connect(served.url) as ws:
                for _ in range(20):
                    writer.write(frame(BINARY, b"\xff") * 2000)
                await ws.send_bytes(write_frame([stat()]))
                await until(lambda: bool(served.taken))
                assert served.server.counts.undecodable < 40_000
            writer.transport.abort()

    run(main)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_who_asks_for_nothing_is_cut(run: Run, sent: bytes) -> None:
    async def main() -> None:
        served = Served(first_request_within_s=0.05)
        async with serving(served):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(sent)
            await until(lambda: served.server.counts.cut == 1)
            await ended(reader)
            writer.close()

    run(main)


def test_not_more_than_some_connections_are_taken(run: Run) -> None:
    async def main() -> None:
        served = Served(most=2)
        async with serving(served) as session:
            first = await session.ws_connect(served.url)
            second = await session.ws_connect(served.url)
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                await session.ws_connect(served.url)
            await first.close()
            await until(lambda: served.server.clients == 1)
            third = await session.ws_connect(served.url)
            await second.close()
            await third.close()

    run(main)


def test_who_takes_many_connections_leaves_some_for_others(run: Run) -> None:
    async def main() -> None:
        served = Served(max_each=2)
        async with serving(served):
            taken = [await connected(served, "127.0.0.2") for _ in range(2)]
            reader, writer = await connected(served, "127.0.0.2")
            await ended(reader)
            writer.close()
            assert served.server.counts.cut == 1
            others = [await connected(served, "127.0.0.3")]
            taken.pop()[1].close()
            await until(lambda: served.server.connections == 2)
            others.append(await connected(served, "127.0.0.2"))
            for _, one in taken + others:
                one.write(b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: kube-probe/1\r\n\r\n")
            for answers, one in taken + others:
                assert await answers.readline() == b"HTTP/1.1 200 OK\r\n"
                one.close()

    run(main)


async def connected(served: Served, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection from that address."""
    return await asyncio.open_connection("127.0.0.1", served.port, local_addr=(address, 0))


def test_a_flood_leaves_the_loop_to_others_after_some_frames(run: Run) -> None:
    class Watched(Served):
        taken_first = 0

        def take(self, stats: Sequence[Stat]) -> None:
            super().take(stats)
            if len(self.taken) == 1:
                asyncio.get_running_loop().call_soon(self.others_run)

        def others_run(self) -> None:
            self.taken_first = len(self.taken)

    async def main() -> None:
        served = Watched()
        async with serving(served):
            _, writer = await raw_websocket(served.port)
            writer.write(frame(BINARY, write_frame([stat()])) * 500)
            await took(served, 500)
            writer.close()
        assert 0 < served.taken_first <= FRAMES_IN_A_ROW

    run(main)
