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
        """The whole body."""

    async def answer(self, body: bytes) -> None:
        """Sends a JSON answer."""

    async def events(self) -> Callable[[bytes], Awaitable[None]]:
        """Starts a stream of server-sent events; gives what sends one. Raises ConnectionError once nobody listens."""

    async def gone(self) -> None:
        """Returns once the client went away."""

    async def flask(self) -> None:
        """Lets Flask answer."""


async def route(exchange: Exchange, path: str) -> None:
    """Answers one request; a request never holds a thread while it waits."""
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
        elif path == "/gone":
            await exchange.gone()
            STATE.gone_s = time.monotonic()
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
    gone = asyncio.ensure_future(exchange.gone())
    STATE.open_streams += 1
    try:
        with contextlib.suppress(ConnectionError):
            while not gone.done():
                await send(event)
                await (asyncio.wait([gone], timeout=every_s) if every_s else asyncio.sleep(0))
    finally:
        gone.cancel()
        STATE.open_streams -= 1
