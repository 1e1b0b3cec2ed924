"""Calls whose answer does not come in full: each is one error, never a traceback and never silence."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dilu_autoscaler.local.client import CallFailedError, Invocation


@contextmanager
def answering(answer: bytes, *, hangs: bool = False) -> Iterator[str]:
    """The URL of a server that sends these bytes to one client, and then hangs up (or waits for it to do so)."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)
                while hangs and connection.recv(65536):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/f"
        finally:
            thread.join(10.0)
            assert not thread.is_alive()


def _call(url: str) -> bytes:
    return b"".join(Invocation(url, b"", timeout_s=0.3, headers={}).body())


def test_a_complete_answer_is_its_body() -> None:
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok") as url:
        assert _call(url) == b"ok"
    with answering(b"HTTP/1.1 200 OK\r\n\r\nto the end") as url:
        assert _call(url) == b"to the end"


@pytest.mark.parametrize(
    ("answer", "hangs", "line"),
    [
        pytest.param(b"", True, "the answer did not come within 0.3 s", id="none"),
        pytest.param(b"", False, "closed connection without response", id="hung up"),
        pytest.param(b"rubbish\r\n\r\n", False, "rubbish", id="not HTTP"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", False, "in the middle", id="half of a length"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf", False, "in the middle", id="half a chunk"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            True,
            "the rest of the answer did not come within 0.3 s",
            id="a stream that hangs",
        ),
    ],
)
def test_an_answer_that_is_not_complete_is_one_error(answer: bytes, hangs: bool, line: str) -> None:
    with answering(answer, hangs=hangs) as url, pytest.raises(CallFailedError, match=line) as caught:
        _call(url)
    assert str(caught.value).startswith(url)
    assert "\n" not in str(caught.value)
