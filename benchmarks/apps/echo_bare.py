"""The echo as a bare ASGI application: what the server alone costs, with one decode and one encode.

python -m uvicorn --app-dir benchmarks/apps echo_bare:app
"""

from __future__ import annotations

from typing import Any

import msgspec


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what came."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = msgspec.json.encode(msgspec.json.decode(body)) if body else b""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
