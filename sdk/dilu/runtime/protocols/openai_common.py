"""What OpenAI's routes share: errors in OpenAI's form, reading bodies, the list of models."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from dilu.errors import RequestError
from dilu.handlers import FunctionDefinition
from dilu.runtime.calls.call import Call, CallRoute
from dilu.runtime.codec import encode_result
from dilu.runtime.execution.service import FunctionService

PREFIX = "/v1"
_started_s = int(time.time())


def error_body(error: RequestError, _request_id: str) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}`, from which OpenAI's clients make their exceptions."""
    param = None if error.field is None else error.field.removeprefix("$").removeprefix(".") or None
    content = {"message": str(error), "type": _type(error.status), "param": param, "code": error.code}
    return msgspec.json.encode({"error": content})


def _type(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"


def route_prefix(definition: FunctionDefinition, definitions: Sequence[FunctionDefinition]) -> str:
    """What a function's route begins with: `/v1`, or `/NAME/v1` where several declare the same one."""
    declared = [one.options.openai for one in definitions]
    is_alone = declared.count(definition.options.openai) == 1
    return PREFIX if is_alone else f"/{definition.spec.name}{PREFIX}"


def parse(decode: Callable[[bytes], Any], body: bytes) -> Any:
    """The body as `decode` reads it; what it refuses is 400, as OpenAI has it."""
    try:
        return decode(body)
    except RequestError as error:
        raise RequestError(400, error.code, str(error), field=error.field) from None


def refused(field: str, message: str, code: str = "unsupported-value") -> RequestError:
    """The error for a field that is understood and not served."""
    return RequestError(400, code, f"{field}: {message}", field=field)


def check_model(model: str, name: str) -> None:
    """Raise `RequestError` (404) unless the model asked for is this function."""
    if model != name:
        shown = model if len(model) <= 80 else f"{model[:77]}..."
        raise RequestError(
            404, "model_not_found", f"the model {shown!r} does not exist; there is {name!r}", field="model"
        )


def model_routes(services: Sequence[FunctionService]) -> list[CallRoute]:
    """`GET /v1/models` and `GET /v1/models/NAME`, of the functions that declare one of OpenAI's routes."""
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
