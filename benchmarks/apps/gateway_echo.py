"""The function behind each proxy: an async echo, and beside it a stream of events with a pause between them.

python -m dilu up benchmarks/apps/gateway_echo.py
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response

import dilu

PAUSE_S = 0.02
pages = Flask(__name__)


@pages.get("/events")
def events() -> Response:
    """Two events, the second one after a pause."""

    def told() -> Iterator[bytes]:
        yield b"data: first\n\n"
        time.sleep(PAUSE_S)
        yield b"data: second\n\n"

    return Response(told(), mimetype="text/event-stream")


@dilu.function(app=pages)
async def echo(x: Any) -> Any:
    """Answer with what came."""
    return x
