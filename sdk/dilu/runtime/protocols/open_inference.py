"""The Open Inference Protocol, version 2, over HTTP: metadata, readiness, inference, with binary tensors.

`dilu.runtime.protocols.tensor_types` says how items and results are tensors. What the protocol leaves open:

* The request's `id` comes back, `parameters` are accepted and ignored but for those of binary tensors.
* The only version of a model is 1. NaN in a result is `null` in JSON, and NaN in a binary tensor.
* All rows of a request are admitted together or refused together, and one row that fails fails the request.
* A function that streams is answered when it ends: the parts of each row are one dimension more.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Sequence

import msgspec

from dilu.errors import RequestError
from dilu.runtime.calls import Call, Route
from dilu.runtime.codec import encode_result
from dilu.runtime.protocols.inference_messages import InferRequest, parse_request, unknown_output, write_answer
from dilu.runtime.protocols.tensor_items import items_of
from dilu.runtime.protocols.tensor_results import outputs_of
from dilu.runtime.protocols.tensor_types import INPUT, OUTPUT, Signature, signature_of
from dilu.runtime.service import FunctionService, State

VERSION = "1"
PREFIX = "/v2"
_JSON_SIZE = b"inference-header-content-length"
_BINARY = b"application/octet-stream"


def error_body(error: RequestError, _request_id: str) -> bytes:
    """`{"error": "..."}`, with the place at fault."""
    place = "" if error.field is None else f" (at {error.field})"
    return msgspec.json.encode({"error": f"{error}{place}"})


def routes(service: FunctionService) -> list[Route]:
    """The routes of one function."""
    model = _Model(service)
    found = []
    for path in (f"{PREFIX}/models/{model.name}", f"{PREFIX}/models/{model.name}/versions/{VERSION}"):
        found += [
            Route(method="GET", path=path, answer=model.answer_metadata, error_body=error_body, counts=False),
            Route(method="GET", path=f"{path}/ready", answer=model.answer_ready, error_body=error_body, counts=False),
            Route(method="POST", path=f"{path}/infer", answer=model.answer_infer, error_body=error_body),
        ]
    return found


def server_routes(services: Sequence[FunctionService]) -> list[Route]:
    """The routes of the whole replica."""

    async def answer_server(call: Call) -> None:
        server = {"name": "dilu", "version": _version(), "extensions": ["binary_tensor_data"]}
        await call.answer(encode_result(server))

    async def answer_live(call: Call) -> None:
        await call.answer(b'{"live":true}')

    async def answer_ready(call: Call) -> None:
        await _answer_ready(call, {}, all(service.state is State.READY for service in services))

    pages = {"": answer_server, "/health/live": answer_live, "/health/ready": answer_ready}
    return [
        Route(method="GET", path=PREFIX + path, answer=answer, error_body=error_body, counts=False)
        for path, answer in pages.items()
    ]


class _Model:
    """One function as a model of the protocol."""

    def __init__(self, service: FunctionService) -> None:
        definition = service.definition
        self.name = definition.spec.name
        self._service = service
        self._inputs = signature_of(definition.item_type, INPUT)
        # The parts of a stream are one dimension more than the declared type has.
        self._outputs = (
            Signature(form="any") if definition.is_streaming else signature_of(definition.result_type, OUTPUT)
        )

    async def answer_metadata(self, call: Call) -> None:
        metadata = {
            "name": self.name,
            "versions": [VERSION],
            "platform": "dilu_python",
            "inputs": [tensor.metadata() for tensor in self._inputs.tensors],
            "outputs": [tensor.metadata() for tensor in self._outputs.tensors],
        }
        await call.answer(encode_result(metadata))

    async def answer_ready(self, call: Call) -> None:
        await _answer_ready(call, {"name": self.name}, self._service.state is State.READY)

    async def answer_infer(self, call: Call) -> None:
        request = self._parsed(await call.body(), call)
        items = items_of(request.tensors, self._inputs, call.decode)
        outputs = outputs_of(await call.run(items))
        answer = write_answer(request, outputs, self.name, VERSION)
        if answer.json_size is None:
            await call.answer(answer.body)
        else:
            headers = [(_JSON_SIZE, b"%d" % answer.json_size)]
            await call.answer(answer.body, content_type=_BINARY, headers=headers)

    def _parsed(self, body: bytes, call: Call) -> InferRequest:
        try:
            request = parse_request(body, call.header(_JSON_SIZE))
        except RequestError:
            _check_encoding(call)
            raise
        if request.outputs is not None and self._outputs.form in ("value", "fields", "array"):
            known = [tensor.name for tensor in self._outputs.tensors]
            for index, output in enumerate(request.outputs):
                if known and output.name not in known:
                    raise unknown_output(output.name, index, known)
        return request


def _check_encoding(call: Call) -> None:
    """Say what is wrong with a body that was not read because it is compressed."""
    encoding = call.header(b"content-encoding")
    if encoding is not None and encoding.lower() != b"identity":
        shown = encoding[:40].decode(errors="backslashreplace")
        message = f"Content-Encoding: {shown}: send the body uncompressed"
        raise RequestError(415, "unsupported-encoding", message, field="Content-Encoding")


async def _answer_ready(call: Call, answer: dict[str, object], ready: bool) -> None:
    await call.answer(encode_result({**answer, "ready": ready}), status=200 if ready else 503)


@functools.cache
def _version() -> str:
    try:
        return importlib.metadata.version("dilu")
    except importlib.metadata.PackageNotFoundError:  # run from a copied folder
        return "unknown"
