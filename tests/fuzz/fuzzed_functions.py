"""The functions under fuzz, raw HTTP to reach them, and what must hold of every answer whatever was sent."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from replica_process import ReplicaProcess

MAX_BODY_BYTES = 200_000
SOURCE = f"""
    from typing import Annotated, Literal
    from collections.abc import AsyncIterator, Iterator
    import dilu
    from msgspec import Meta, Struct
    from pydantic import BaseModel

    class Review(Struct):
        text: str
        stars: Annotated[int, Meta(ge=0, le=5)] = 0
        weight: float = 1.0
        tags: list[str] = []
        scores: dict[str, float] = {{}}
        language: Literal["en", "tr"] = "en"
        answer_to: "Review | None" = None

    class Form(BaseModel):
        name: str
        size: int = 0

    @dilu.function(max_body_bytes={MAX_BODY_BYTES})
    def single(review: Review) -> int:
        return len(review.text)

    @dilu.function(batch=8, max_body_bytes={MAX_BODY_BYTES})
    def batched(reviews: list[Review]) -> list[int]:
        return [len(review.text) for review in reviews]

    @dilu.function(max_body_bytes={MAX_BODY_BYTES})
    async def asynchronous(review: Review) -> int:
        return len(review.text)

    @dilu.function(max_body_bytes={MAX_BODY_BYTES})
    def streaming(review: Review) -> Iterator[int]:
        yield len(review.text)
        yield review.stars

    @dilu.function(batch=8, max_body_bytes={MAX_BODY_BYTES})
    async def streaming_batches(reviews: list[Review]) -> AsyncIterator[list[int]]:
        yield [len(review.text) for review in reviews]

    @dilu.function(max_body_bytes={MAX_BODY_BYTES})
    def model(form: Form) -> str:
        return form.name

    @dilu.function(max_body_bytes={MAX_BODY_BYTES})
    def anything(value: object) -> object:
        return value

    @dilu.function(batch=8, openai="embeddings", max_body_bytes={MAX_BODY_BYTES})
    def embed(texts: list[str]) -> list[list[float]]:
        return [[float(len(text))] for text in texts]

    @dilu.function(openai="chat", max_body_bytes={MAX_BODY_BYTES})
    def chat(request: dilu.ChatRequest) -> Iterator[str]:
        yield "hello"
"""
REVIEW_PATHS = ("/single", "/batched", "/asynchronous", "/streaming", "/streaming-batches")
PLAIN_PATHS = (*REVIEW_PATHS, "/model", "/anything", "/embed", "/chat")
PROTOCOL_PATHS = (
    "/v2/models/single/infer",
    "/v2/models/batched/infer",
    "/v2/models/embed/infer",
    "/v1/embeddings",
    "/v1/chat/completions",
)
CALL_PATHS = (*PLAIN_PATHS, *PROTOCOL_PATHS)
# 504 is the answer to a time limit that was too short.
_SERVER_ERROR = re.compile(r'^dilu_requests_total\{.*code="50[0-3]".*\} (?!0\.0$)', re.MULTILINE)


@dataclass(frozen=True)
class RawAnswer:
    """One HTTP answer as it came over a socket."""

    status: int
    headers: dict[str, str]
    body: bytes


class RawClient:
    """One connection: bytes out, answers in."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._unread = b""

    def send(self, data: bytes) -> None:
        """Send these bytes, whatever they are; a server that has left already is no failure."""
        with suppress(ConnectionError):
            self._socket.sendall(data)

    def finish_sending(self) -> None:
        """Say that nothing more comes; answers are still read."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def answer(self) -> RawAnswer | None:
        """The next answer, or None once the server has closed the connection."""
        while b"\r\n\r\n" not in self._unread:
            if not self._receive():
                assert not self._unread, f"half an answer: {self._unread[:200]!r}"
                return None
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        status = int(lines[0].split(" ")[1])
        if status < 200:
            return self.answer()
        return RawAnswer(status, headers, self._body(headers))

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self._take(int(headers.get("content-length", 0)))
        body = b""
        while size := int(self._line(), 16):
            body += self._take(size)
            self._line()
        self._line()
        return body

    def _line(self) -> bytes:
        while b"\r\n" not in self._unread:
            assert self._receive(), "the answer was cut"
        line, _, self._unread = self._unread.partition(b"\r\n")
        return line

    def _take(self, size: int) -> bytes:
        while len(self._unread) < size:
            assert self._receive(), "the answer was cut"
        body, self._unread = self._unread[:size], self._unread[size:]
        return body

    def _receive(self) -> bool:
        try:
            data = self._socket.recv(65536)
        except ConnectionError:
            return False
        self._unread += data
        return bool(data)


@contextmanager
def connected(port: int) -> Iterator[RawClient]:
    """A connection for the time of a `with` statement."""
    client = RawClient(port)
    try:
        yield client
    finally:
        client.close()


def request(path: str, body: bytes, *headers: tuple[bytes, bytes], method: bytes = b"POST") -> bytes:
    """One complete request."""
    lines = [b"%b %b HTTP/1.1" % (method, path.encode()), b"Host: a", b"Content-Length: %d" % len(body)]
    lines += [b"%b: %b" % header for header in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def check_refusal(path: str, answer: RawAnswer) -> dict[str, Any]:
    """What an error says; fails unless it is one that a client can use: a 4xx in the words of its protocol."""
    assert 400 <= answer.status < 500, (path, answer)
    content: dict[str, Any] = json.loads(answer.body)
    error = content["error"]
    if path.startswith("/v2/"):
        assert isinstance(error, str)
        assert error
        return {"message": error}
    assert isinstance(error, dict)
    assert error["message"]
    if not path.startswith("/v1/"):
        assert error["request_id"] == answer.headers["x-request-id"]
    said: dict[str, Any] = error
    return said


def check_alive(replica: ReplicaProcess) -> None:
    """Every function still answers, nothing failed on the way, nothing is left in flight."""
    assert replica.process.poll() is None
    for path in REVIEW_PATHS:
        assert replica.post({"text": "abc"}, path).status == 200, path
    assert replica.post({"name": "abc"}, "/model").json() == "abc"
    assert replica.post([1], "/anything").json() == [1]
    assert replica.post("abc", "/embed").json() == [3.0]
    assert not _SERVER_ERROR.findall(metrics := replica.metrics()), metrics
    assert replica.stats()["in_flight"] == 0
    assert "Traceback" not in replica.log()
