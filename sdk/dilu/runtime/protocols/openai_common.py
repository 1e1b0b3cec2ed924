"""The common parts of OpenAI's routes: errors in OpenAI's form, reading bodies, the list of models."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from dilu.errors import RequestError
from dilu.handlers import FunctionDefinition
from dilu.runtime.calls.call import Call
from dilu.runtime.calls.call_routes import CallRoute
from dilu.runtime.codec import encode_result
from dilu.runtime.execution.service import FunctionService

PREFIX = "/v1"
_started_s = int(time.time())


def error_body(error: RequestError, _request_id: str) -> bytes:
    """Return `{"error": {"message", "type", "param", "code"}}`, which OpenAI's clients turn into exceptions."""
    param = None if error.field is None else error.field.removeprefix("$").removeprefix(".") or None
    content = {"message": str(error), "type": _type(error.status), "param": param, "code": error.code}
    return msgspec.json.encode({"error": content})


def _type(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"


def route_prefix(definition: FunctionDefinition, definitions: Sequence[FunctionDefinition]) -> str:
    """Return the prefix of a function's route: `/v1`, or `/NAME/v1` if several declare the same route."""
    declared = [one.options.openai for one in definitions]
    is_alone = declared.count(definition.options.openai) == 1
    return PREFIX if is_alone else f"/{definition.spec.name}{PREFIX}"


def parse(decode: Callable[[bytes], Any], body: bytes) -> Any:
    """Decode the body; every error has status 400, as in OpenAI's API."""
    try:
        return decode(body)
    except RequestError as error:
        raise RequestError(400, error.code, str(error), field=error.field) from None


def refused(field: str, message: str, code: str = "unsupported-value") -> RequestError:
    """Return the error for a field that is not supported."""
    return RequestError(400, code, f"{field}: {message}", field=field)


def check_model(model: str, name: str) -> None:
    """Raise `RequestError` (404) unless the requested model is this function."""
    if model != name:
        shown = model if len(model) <= 80 else f"{model[:77]}..."
        raise RequestError(
            404, "model_not_found", f"the model {shown!r} does not exist; the model is {name!r}", field="model"
        )


def model_routes(services: Sequence[FunctionService]) -> list[CallRoute]:
    """Return `GET /v1/models` and `GET /v1/models/NAME` for the functions that declare an OpenAI route."""
    models = [_model(service) for service in services if service.definition.options.openai is not None]
    if not models:
        return []
    bodies = {f"{PREFIX}/models/{model['id']}": encode_result(model) for model in models}
    bodies[f"{PREFIX}/models"] = encode_result({"object": "list", "data": models})
    return [
        CallRoute(method="GET", path=path, answer=_answering(body), error_body=error_body, counts=False)
        for path, body in bodies.items()
    ]


def _model(service: FunctionService) -> dict[str, Any]:
    return {"id": service.definition.spec.name, "object": "model", "created": _started_s, "owned_by": "dilu"}


def _answering(body: bytes) -> Callable[[Call], Any]:
    async def answer(call: Call) -> None:
        await call.answer(body)

    return answer
