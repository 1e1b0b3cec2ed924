"""The echo as Starlette routes: what FastAPI stands on, without what FastAPI adds.

`/` decodes and encodes as Starlette does, with the standard library's json; `/msgspec` with the codec that we use.

python -m uvicorn --app-dir benchmarks/apps echo_starlette:app
"""

from __future__ import annotations

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


async def echo(request: Request) -> Response:
    """Answer with what came."""
    return JSONResponse(await request.json())


async def echo_with_msgspec(request: Request) -> Response:
    """Answer with what came, through msgspec."""
    item = msgspec.json.decode(await request.body())
    return Response(msgspec.json.encode(item), media_type="application/json")


app = Starlette(
    routes=[Route("/", echo, methods=["POST"]), Route("/msgspec", echo_with_msgspec, methods=["POST"])],
)
