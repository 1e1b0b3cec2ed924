"""The routes of calls: a call is answered by its route, counted and traced."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dilu.errors import RequestError
from dilu.http import answers
from dilu.http.answers import ClientGoneError
from dilu.runtime.calls.call import Call

_log = logging.getLogger(__name__)
CLIENT_LEFT = 499  # never sent; the status in metrics and traces of a request whose client disconnected
_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRoute:
    """One method of one path."""

    method: str
    path: str
    answer: Callable[[Call], Awaitable[None]]  # raises `RequestError` for 4xx and 5xx
    error_body: Callable[[RequestError, str], bytes] = answers.error_body  # (error, request id)
    counts: bool = True  # False: metadata; answered while starting, and not counted as a request


async def serve(call: Call, route: CallRoute) -> None:
    """Answer one call by its route, and count it. An error of the route is answered, too."""
    if not route.counts:
        await _answer(call, route)
        return
    metrics = call.service.metrics
    metrics.arrived(call.arrived_s)
    code = 500
    try:
        code = await _answer(call, route)
    except asyncio.CancelledError:
        code = 503  # the drain timed out
        raise
    finally:
        started_s = call.jobs[-1].started_s if call.jobs else 0.0
        metrics.finished(code, call.finished_s or time.monotonic(), call.arrived_s, started_s)
        call.service.traced(call, code)


async def _answer(call: Call, route: CallRoute) -> int:
    """Answer the call and return the status of the answer."""
    try:
        if route.counts:
            call.begin()
        await route.answer(call)
        return call.status or _OK
    except RequestError as error:
        if error.refused is not None:
            call.service.metrics.refused(error.refused)
        if call.started_answer:
            raise  # cut short: only closing the connection tells the client
        await call.refuse(route.error_body(error, call.request_id), error)
        return error.status
    except ClientGoneError:
        return CLIENT_LEFT
    except Exception as error:
        _log.error("could not answer", exc_info=error, extra={"request_ids": [call.request_id]})
        if call.started_answer:
            raise
        # A result that JSON cannot represent, or a bug of the runtime; the log has the details.
        message = str(error) if isinstance(error, (TypeError, ValueError)) else "internal error of the replica"
        unusable = RequestError(500, "unusable-result", message)
        await call.refuse(route.error_body(unusable, call.request_id), unusable)
        return 500
