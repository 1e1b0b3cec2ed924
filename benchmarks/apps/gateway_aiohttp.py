"""A minimal proxy made of libraries: an ASGI application that sends to UPSTREAM with aiohttp's client.

It holds no queue, retries nothing and counts nothing; an answer is passed on piece by piece as it comes.

UPSTREAM=http://127.0.0.1:9000 python -m uvicorn --app-dir benchmarks/apps gateway_aiohttp:app
"""

from __future__ import annotations

import os
from typing import Any

import aiohttp
from yarl import URL

UPSTREAM = os.environ["UPSTREAM"]
OF_THE_CONNECTION = {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te", b"trailer"}
session: aiohttp.ClientSession


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Pass one request to UPSTREAM and its answer back."""
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in kept(scope["headers"])]
    url = URL(UPSTREAM + target.decode("ascii"), encoded=True)
    async with session.request(
        scope["method"], url, data=body or None, headers=headers, allow_redirects=False
    ) as answer:
        await send({"type": "http.response.start", "status": answer.status, "headers": kept(answer.raw_headers)})
        async for piece in answer.content.iter_any():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def kept(headers: Any) -> list[tuple[bytes, bytes]]:
    """Return the headers of the request or the answer, without those of one connection."""
    lower = ((name.lower(), value) for name, value in headers)
    return [(name, value) for name, value in lower if name not in OF_THE_CONNECTION]


async def live(receive: Any, send: Any) -> None:
    """Keep the client for as long as the server runs."""
    global session
    await receive()
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})
