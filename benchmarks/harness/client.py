"""A small asyncio client of HTTP, for requests that wrk cannot send."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One whole HTTP answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether the server announced that it takes no further request on this connection."""
        return self.headers.get("connection", "").lower() == "close"


def http_request(method: str, path: str, body: bytes = b"", headers: str = "") -> bytes:
    """Return the bytes of one HTTP/1.1 request. `headers` holds whole lines, each with its line end."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}"
    if method != "GET":
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read the next answer with a known length; raises IncompleteReadError or OSError if the connection ends first."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answer(status=int(lines[0].split()[1]), headers=headers, body=body)


async def fetch(port: int, request: bytes, *, timeout_s: float = 30.0) -> Answer:
    """Return the answer to one request on a connection of its own."""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            return await read_answer(reader)
        finally:
            writer.close()
