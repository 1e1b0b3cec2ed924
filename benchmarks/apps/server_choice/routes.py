"""The routes on an asynchronous server, written once for ASGI and RSGI."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from apps.server_choice.application import BATCH, STATE, STREAMS, echo, facts


class Exchange(Protocol):
    """One request and its answer, on ASGI or RSGI."""

    async def read(self) -> bytes:
        """Read the whole body."""

    async def answer(self, body: bytes) -> None:
        """Send a JSON answer."""

    async def events(self) -> Callable[[bytes], Awaitable[None]]:
        """Start a stream of server-sent events; return the function that sends one, or raises ConnectionError."""

    async def disconnected(self) -> None:
        """Return once the client has disconnected."""

    async def flask(self) -> None:
        """Let Flask answer."""


async def route(exchange: Exchange, path: str) -> None:
    """Answer one request; a request never holds a thread while it waits."""
    STATE.in_flight += 1
    STATE.last_arrival_s = time.monotonic()
    try:
        if path == "/":
            await exchange.answer(echo(await exchange.read()))
        elif path == "/thread":
            body = await exchange.read()
            await exchange.answer(await asyncio.get_running_loop().run_in_executor(None, echo, body))
        elif path == "/healthz":
            await exchange.answer(b"{}")
        elif path == "/predict":
            await exchange.answer(await asyncio.wrap_future(BATCH.join()))
        elif path == "/sleep":
            await asyncio.sleep(0.5)
            await exchange.answer(b"{}")
        elif path == "/disconnected":
            await exchange.disconnected()
            STATE.disconnected_s = time.monotonic()
        elif path in STREAMS:
            await _stream(exchange, *STREAMS[path])
        elif path == "/facts":
            await exchange.answer(facts())
        else:
            await exchange.flask()
    finally:
        STATE.in_flight -= 1


async def _stream(exchange: Exchange, event: bytes, every_s: float) -> None:
    send = await exchange.events()
    left = asyncio.ensure_future(exchange.disconnected())
    STATE.open_streams += 1
    try:
        with contextlib.suppress(ConnectionError):
            while not left.done():
                await send(event)
                await (asyncio.wait([left], timeout=every_s) if every_s else asyncio.sleep(0))
    finally:
        left.cancel()
        STATE.open_streams -= 1
