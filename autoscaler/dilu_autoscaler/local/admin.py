"""What `dilu ps`, `logs` and `invoke` read of a running platform: HTTP on a Unix socket that only its user can open."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec

from dilu.errors import RequestError
from dilu.http.answers import Receive, Scope, Send, request_id, send_error, send_json
from dilu_autoscaler.local.replicas import last_lines

_FOLLOW_S = 0.25  # between two reads of the logs while a client follows them
_MAX_READ_BYTES = 256 * 1024
_LOG_NAME = re.compile(r"(?P<replica>(?P<function>.+)-(?P<number>\d+))\.log")


class AdminApp:
    """`GET /v1/status?function=`, and `GET /v1/logs?function=&replica=&lines=&follow=`."""

    def __init__(self, status: Callable[[str | None], object], logs: Path) -> None:
        self._status = status
        self._logs = logs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path, query = scope["path"], parse_qs(scope["query_string"].decode("latin-1"))
        try:
            if path == "/v1/status":
                await send_json(send, 200, self._status_of(query))
            elif path == "/v1/logs":
                await self._send_logs(query, receive, send)
            else:
                raise RequestError(404, "not-found", f"{path}: there are /v1/status and /v1/logs")
        except RequestError as error:
            await send_error(send, error, request_id(scope["headers"]))

    def _status_of(self, query: dict[str, list[str]]) -> bytes:
        function = query.get("function", [None])[0]
        try:
            return msgspec.json.encode(self._status(function))
        except KeyError:
            raise RequestError(404, "not-found", f"{function}: no such function is up") from None

    async def _send_logs(self, query: dict[str, list[str]], receive: Receive, send: Send) -> None:
        wanted = LogQuery(
            self._logs,
            function=query.get("function", [""])[0],
            replica=query.get("replica", [""])[0],
        )
        head = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        lines = query.get("lines", ["50"])[0]
        text = wanted.last(int(lines) if lines.isdigit() else 50)
        if "follow" not in query:
            await send({"type": "http.response.body", "body": text})
            return
        await send({"type": "http.response.body", "body": text, "more_body": True})
        await _until_disconnected(_pass_on(wanted.follow(), send), receive)


class LogQuery:
    """The logs of some replicas, each line after its replica's name."""

    def __init__(self, folder: Path, *, function: str, replica: str) -> None:
        self._folder = folder
        self._function = function
        self._replica = replica
        self._read_bytes: dict[Path, int] = {}

    def last(self, lines: int) -> bytes:
        """Return the last lines of each log, the oldest replica first."""
        text = []
        for path in self._paths():
            with contextlib.suppress(OSError):
                self._read_bytes[path] = path.stat().st_size
            if lines:
                text += [f"{path.stem} | {line}\n" for line in last_lines(path, lines)]
        return "".join(text).encode()

    async def follow(self) -> AsyncIterator[bytes]:
        """Yield what is written from now on, also by replicas that start later."""
        while True:
            for path in self._paths():
                if new := self._more(path):
                    yield new
            await asyncio.sleep(_FOLLOW_S)

    def _more(self, path: Path) -> bytes:
        """Return the complete lines that were written since the last read."""
        at = self._read_bytes.get(path, 0)
        try:
            at = at if at <= path.stat().st_size else 0  # it was emptied
            with path.open("rb") as file:
                file.seek(at)
                read = file.read(_MAX_READ_BYTES)
        except OSError:
            return b""
        complete = read[: read.rfind(b"\n") + 1] if len(read) < _MAX_READ_BYTES else read
        self._read_bytes[path] = at + len(complete)
        label = f"{path.stem} | ".encode()
        return b"".join(label + line for line in complete.splitlines(keepends=True))

    def _paths(self) -> list[Path]:
        found = []
        for path in self._folder.glob("*.log"):
            match = _LOG_NAME.fullmatch(path.name)
            if match and self._function in ("", match["function"]) and self._replica in ("", match["replica"]):
                found.append((match["function"], int(match["number"]), path))
        return [path for _, _, path in sorted(found)]


async def _pass_on(pieces: AsyncIterator[bytes], send: Send) -> None:
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _until_disconnected(work: Any, receive: Receive) -> None:
    """Do the work until its client disconnects."""
    task = asyncio.ensure_future(work)
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
