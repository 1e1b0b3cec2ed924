"""The Open Inference Protocol, version 2, over HTTP: metadata, readiness, inference, with binary tensors.

`dilu.runtime.protocols.tensor_types` maps items and results to tensors. Where the protocol leaves a choice:

* The answer repeats the request's `id`. `parameters` are ignored except for those of binary tensors.
* The only version of a model is 1. NaN in a result is `null` in JSON, and NaN in a binary tensor.
* All rows of a request are admitted together or refused together, and one row that fails fails the request.
* A function that streams is answered when it ends; the parts of each row are an additional dimension.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from dilu.errors import RequestError
from dilu.runtime.calls.call import Call
from dilu.runtime.calls.call_routes import CallRoute
from dilu.runtime.codec import encode_result
from dilu.runtime.execution.service import FunctionService, State
from dilu.version import sdk_version

if TYPE_CHECKING:
    from dilu.runtime.protocols.inference_model import InferenceModel

VERSION = "1"
PREFIX = "/v2"


def error_body(error: RequestError, _request_id: str) -> bytes:
    """Return `{"error": "..."}`, which names the invalid field."""
    place = "" if error.field is None else f" (at {error.field})"
    return msgspec.json.encode({"error": f"{error}{place}"})


def routes(service: FunctionService) -> list[CallRoute]:
    """Return the routes of one function."""
    name = service.definition.spec.name
    model = _LateModel(service)
    found = []
    for path in (f"{PREFIX}/models/{name}", f"{PREFIX}/models/{name}/versions/{VERSION}"):
        found += [
            CallRoute(method="GET", path=path, answer=model.answer_metadata, error_body=error_body, counts=False),
            CallRoute(
                method="GET", path=f"{path}/ready", answer=model.answer_ready, error_body=error_body, counts=False
            ),
            CallRoute(method="POST", path=f"{path}/infer", answer=model.answer_infer, error_body=error_body),
        ]
    return found


def server_routes(services: Sequence[FunctionService]) -> list[CallRoute]:
    """Return the routes of the whole replica."""

    async def answer_server(call: Call) -> None:
        server = {"name": "dilu", "version": sdk_version(), "extensions": ["binary_tensor_data"]}
        await call.answer(encode_result(server))

    async def answer_live(call: Call) -> None:
        await call.answer(b'{"live":true}')

    async def answer_ready(call: Call) -> None:
        await _answer_ready(call, {}, all(service.state is State.READY for service in services))

    pages = {"": answer_server, "/health/live": answer_live, "/health/ready": answer_ready}
    return [
        CallRoute(method="GET", path=PREFIX + path, answer=answer, error_body=error_body, counts=False)
        for path, answer in pages.items()
    ]


class _LateModel:
    """One function as a model, created at its first request: that takes 10 ms, and most replicas never get one."""

    def __init__(self, service: FunctionService) -> None:
        self._service = service

    @functools.cached_property
    def _model(self) -> InferenceModel:
        from dilu.runtime.protocols.inference_model import InferenceModel

        return InferenceModel(self._service.definition, VERSION)

    async def answer_metadata(self, call: Call) -> None:
        await self._model.answer_metadata(call)

    async def answer_ready(self, call: Call) -> None:
        await _answer_ready(call, {"name": self._service.definition.spec.name}, self._service.state is State.READY)

    async def answer_infer(self, call: Call) -> None:
        await self._model.answer_infer(call)


async def _answer_ready(call: Call, answer: dict[str, object], ready: bool) -> None:
    await call.answer(encode_result({**answer, "ready": ready}), status=200 if ready else 503)
