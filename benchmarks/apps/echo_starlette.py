"""The echo as a Starlette route: what FastAPI stands on, without what FastAPI adds.

python -m uvicorn --app-dir benchmarks/apps echo_starlette:app
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


async def echo(request: Request) -> Response:
    """What came."""
    return JSONResponse(await request.json())


app = Starlette(routes=[Route("/", echo, methods=["POST"])])
