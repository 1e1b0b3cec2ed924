"""A client for the tests of a function: it calls the function in this process, without a port.

    def test_embed() -> None:
        with dilu.testing.client("app.py:Embed") as embed:
            assert len(embed.call("a sentence")) == 384

It runs the replica's own application: items are decoded and checked, batches form, deadlines and queue bounds apply,
errors are the HTTP answers that a client would get. Only the socket is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from dilu.errors import ConfigError, LoadError, RequestError
from dilu.handlers import FunctionDefinition, definition_of, overridden
from dilu.loading import load_functions
from dilu.runtime.codec import encode_result
from dilu.runtime.in_process import InProcessCall, InProcessReplica, NoAnswerError
from dilu.spec import names

__all__ = ["Answer", "Client", "NoAnswerError", "client"]

_OK = 200
_JSON_HEADERS = {"content-type": "application/json"}
_EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer. The headers' names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    def raise_for_status(self) -> None:
        """Raise the `RequestError` that this answer reports, if any."""
        if self.status >= 400:
            raise _error_of(self.status, self.headers, self.body)


def client(target: Any, *, within_s: float = 60.0, **overrides: Any) -> Client:
    """Return a client of the functions that `target` names, which are loaded when its `with` statement begins.

    `target` is a decorated class or function, a list of them, a module, or a target of `dilu serve` ("app.py:Embed").
    `overrides` are keys of a function in dilu.yaml, such as `slo_ms=20`. The client waits at most `within_s` for an
    answer. Raise `LoadError` or `ConfigError` if `target` cannot be served.
    """
    definitions = _definitions(target)
    if overrides and len(definitions) > 1:
        found = ", ".join(definition.spec.name for definition in definitions)
        raise ConfigError(f"{', '.join(overrides)}: overrides are for one function, but {target!r} has {found}")
    return Client([overridden(definition, overrides) for definition in definitions], within_s=within_s)


class Client:
    """Calls functions that run in threads of this process while its `with` statement lasts.

    @pytest.fixture
    def embed() -> Iterator[dilu.testing.Client]:
        with dilu.testing.client(app.Embed) as client:
            yield client
    """

    def __init__(self, definitions: Sequence[FunctionDefinition], *, within_s: float) -> None:
        self._paths = {
            definition.spec.name: "/" if len(definitions) == 1 else f"/{definition.spec.name}"
            for definition in definitions
        }
        self._replica = InProcessReplica(definitions, within_s=within_s)

    def __enter__(self) -> Self:
        """Load and warm up. Raise what the handler raises."""
        self._replica.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish, unload and end all threads."""
        self._replica.close()

    def call(self, item: Any, *, function: str | None = None, headers: Mapping[str, str] | None = None) -> Any:
        """Return the function's result for one item, as JSON values; the list of its parts if it streams.

        Raise `RequestError` with the status, code and field that an HTTP client would get. `function` is needed
        only if the client has several.
        """
        answer = self.post(item, function=function, headers={"accept": "application/json", **(headers or {})})
        answer.raise_for_status()
        return answer.json()

    def call_many(
        self, items: Sequence[Any], *, function: str | None = None, headers: Mapping[str, str] | None = None
    ) -> list[Any]:
        """Return one result per item. Each is a request of its own, all sent at the same time, so that batches form.

        For an item that fails its `RequestError` takes the place of the result.
        """
        given = {**_JSON_HEADERS, "accept": "application/json", **(headers or {})}
        exchanges = self._begin("POST", self._path(function), [encode_result(item) for item in items], given)
        answers = [_read(exchange) for exchange in exchanges]
        return [one.json() if one.status < 400 else _error_of(one.status, one.headers, one.body) for one in answers]

    def stream(
        self, item: Any, *, function: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[Any]:
        """Yield the parts of a streaming function's answer. Leaving the loop early disconnects the client.

        Raise `RequestError`, possibly after some parts.
        """
        given = {**_JSON_HEADERS, "accept": _EVENTS, **(headers or {})}
        (exchange,) = self._begin("POST", self._path(function), [encode_result(item)], given)
        return self._parts(exchange)

    def post(self, item: Any, *, function: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Return the HTTP answer to one item, whatever its status."""
        given = {**_JSON_HEADERS, **(headers or {})}
        return self.request("POST", self._path(function), encode_result(item), headers=given)

    def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Return the HTTP answer to a GET: probes, descriptions, routes of the function's Flask application."""
        return self.request("GET", path, headers=headers)

    def request(self, method: str, path: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None) -> Answer:
        """Return the HTTP answer to any request to the replica's port."""
        (exchange,) = self._begin(method, path, [body], headers or {})
        return _read(exchange)

    def _begin(
        self, method: str, path: str, bodies: Sequence[bytes], headers: Mapping[str, str]
    ) -> list[InProcessCall]:
        encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        return self._replica.begin(method, path, bodies, encoded)

    def _path(self, function: str | None) -> str:
        found = next(iter(self._paths)) if function is None and len(self._paths) == 1 else function
        if found is None or found not in self._paths:
            raise ConfigError(f"function = {function!r}, must be one of {', '.join(self._paths)}")
        return self._paths[found]

    def _parts(self, exchange: InProcessCall) -> Iterator[Any]:
        try:
            status, headers = exchange.head()
            if status != _OK or not headers["content-type"].startswith(_EVENTS):
                body = b"".join(exchange.pieces())
                if status >= 400:
                    raise _error_of(status, headers, body)
                raise ConfigError(f"{exchange}: the function does not stream; use call")
            for name, data in _events(exchange.pieces()):
                if name == "done":
                    return
                if name == "error":
                    raise _error_of(500, headers, data)
                yield json.loads(data)
            raise NoAnswerError(f"{exchange}: the stream ended without its last event")
        finally:
            self._replica.abandon(exchange)


def _definitions(target: Any) -> list[FunctionDefinition]:
    if isinstance(target, (str, Path)):
        return list(load_functions(str(target)).values())
    if isinstance(target, ModuleType):
        return list(load_functions(target.__name__).values())
    if isinstance(target, (list, tuple)):
        return [definition for one in target for definition in _definitions(one)]
    definition = definition_of(target)
    if definition is None:
        raise LoadError(f"{target!r}: is not decorated with @dilu.function")
    return [definition]


def _read(exchange: InProcessCall) -> Answer:
    status, headers = exchange.head()
    return Answer(status, headers, b"".join(exchange.pieces()))


def _events(pieces: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield name ("" if none) and data of each server-sent event."""
    unread = b""
    for piece in pieces:
        unread += piece
        *complete, unread = unread.split(b"\n\n")
        for event in complete:
            fields = dict(line.split(b": ", 1) for line in event.split(b"\n"))
            yield fields.get(b"event", b"").decode(), fields.get(b"data", b"")


def _error_of(status: int, headers: Mapping[str, str], body: bytes) -> RequestError:
    """Return the error of an answer, as the replica raised it."""
    try:
        reported: dict[str, Any] = json.loads(body)["error"]
        code, message = reported["code"], reported["message"]
    except (ValueError, LookupError, TypeError):  # from a Flask route or another protocol
        reported, code, message = {}, "error", body.decode("utf-8", "replace")
    retry_after = headers.get(names.HEADER_RETRY_AFTER.lower(), "")
    return RequestError(
        status,
        code,
        message,
        field=reported.get("field"),
        retry_after_s=int(retry_after) if retry_after.isdigit() else None,
        refused=headers.get(names.HEADER_REFUSED.lower()),
    )
