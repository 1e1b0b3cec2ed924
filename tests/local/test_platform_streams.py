"""Streams of a function's own Flask routes through the whole way, piece by piece, until the client leaves."""

from __future__ import annotations

import http.client

from local.platform_process import StartPlatform
from replica_process import wait_until

STREAMS = """
    import time
    import dilu
    from flask import Flask, Response

    app = Flask(__name__)

    @app.get("/events")
    def events():
        def pieces():
            for number in range(60):
                yield f"data: {number}\\n\\n"
                time.sleep(0.05)
        return Response(pieces(), mimetype="text/event-stream")

    @dilu.function(app=app)
    def streams(item: float) -> float:
        return item
"""


def test_a_stream_arrives_piece_by_piece_and_ends_with_its_client(start_platform: StartPlatform) -> None:
    platform = start_platform(STREAMS)
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=20.0)
    connection.request("GET", "/streams/events")
    response = connection.getresponse()
    assert response.getheader("content-type", "").startswith("text/event-stream")
    assert [response.readline() for _ in range(3)] == [b"data: 0\n", b"\n", b"data: 1\n"]
    assert platform.function("streams")["in_flight"] == 1
    response.close()
    connection.close()
    wait_until(lambda: platform.function("streams")["in_flight"] == 0, "the gateway has let it go")
