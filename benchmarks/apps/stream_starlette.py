"""The same stream by Starlette's StreamingResponse: the bare server with one decode and one encode a chunk.

python -m uvicorn --app-dir benchmarks/apps stream_starlette:app
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def count(request: Request) -> StreamingResponse:
    """0, 1, 2, ... n - 1."""
    n = json.loads(await request.body())

    async def events() -> AsyncIterator[bytes]:
        for number in range(n):
            yield b"data: %b\n\n" % json.dumps(number).encode()
        yield b"event: done\ndata: {}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(routes=[Route("/", count, methods=["POST"])])
