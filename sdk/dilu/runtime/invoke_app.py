"""The ASGI application on PORT: a short path for calls of the function, probes, and Flask for everything else."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from dilu.errors import RequestError
from dilu.runtime.answers import (
    CLOSE,
    ClientGoneError,
    Headers,
    Receive,
    Scope,
    Send,
    read_body,
    request_id,
    send_error,
    send_result,
)
from dilu.runtime.codec import encode_result, item_decoder
from dilu.runtime.protocol import is_abandoned
from dilu.runtime.service import FunctionService, State, starting_error
from dilu.runtime.stats_app import StatsApp

if TYPE_CHECKING:
    from dilu.runtime.flask_app import FlaskRoutes

_log = logging.getLogger(__name__)
_CLIENT_GONE = 499  # nobody hears it; it keeps such requests apart in the metrics


class InvokeApp:
    """`POST /` calls the function. Probes and metrics come next, unless the Flask app has such a route itself."""

    def __init__(self, service: FunctionService, stats: StatsApp) -> None:
        options = service.definition.options
        self._service = service
        self._metrics = service.metrics
        self._stats = stats
        self._max_body_bytes = options.max_body_bytes
        self._decode = item_decoder(service.definition.item_type)
        self._flask: FlaskRoutes | None = None
        if options.app is not None:
            from dilu.runtime.flask_app import FlaskRoutes

            self._flask = FlaskRoutes(options.app, max_body_bytes=options.max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path == "/" and scope["method"] == "POST":
            await self._invoke(scope, receive, send)
        elif self._flask is not None and self._flask.has_path(path):
            if self._service.state is State.STARTING:
                await self._refuse(scope, send, starting_error())
            else:
                await self._flask(scope, receive, send, self._closing())
        elif path in self._stats.paths:
            await self._stats(scope, receive, send)
        elif path == "/":
            error = RequestError(405, "method-not-allowed", f"{scope['method']} /: POST one JSON value here")
            await self._refuse(scope, send, error, [(b"allow", b"POST")])
        else:
            await self._refuse(scope, send, RequestError(404, "not-found", f"{path}: no such path; POST to / instead"))

    async def _refuse(self, scope: Scope, send: Send, error: RequestError, headers: Headers | None = None) -> None:
        await send_error(send, error, request_id(scope["headers"]), [*(headers or ()), *self._closing()])

    async def _invoke(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrived_s = time.monotonic()
        metrics = self._metrics
        metrics.arrived(arrived_s)
        id_ = request_id(scope["headers"])
        code = 500
        job = None
        try:
            self._service.check_room()  # before a large body is taken in for nothing
            body = await read_body(scope, receive, self._max_body_bytes)
            job = self._service.new_job(self._decode(body), id_, arrived_s, lambda: is_abandoned(scope))
            answer = encode_result(await self._service.run(job))
            code = 200
            await send_result(scope, send, answer, id_, self._closing())
        except RequestError as error:
            code = error.status
            if error.refused is not None:
                metrics.refused(error.refused)
            await send_error(send, error, id_, self._closing())
        except ClientGoneError:
            code = _CLIENT_GONE
        except asyncio.CancelledError:
            code = 503  # the drain ran out of time
            raise
        except Exception as error:
            code = 500
            await self._answer_unexpected(error, send, id_)
        finally:
            metrics.finished(code, time.monotonic(), arrived_s, 0.0 if job is None else job.started_s)

    async def _answer_unexpected(self, error: Exception, send: Send, id_: str) -> None:
        """A result that JSON cannot state, or a mistake of ours: the client learns that, the log learns more."""
        _log.error("could not answer", exc_info=error, extra={"request_ids": [id_]})
        message = str(error) if isinstance(error, (TypeError, ValueError)) else "the replica made a mistake"
        await send_error(send, RequestError(500, "unusable-result", message), id_, self._closing())

    def _closing(self) -> Headers:
        """While draining, each answer asks the client to leave this connection."""
        return [CLOSE] if self._service.state is State.DRAINING else []
