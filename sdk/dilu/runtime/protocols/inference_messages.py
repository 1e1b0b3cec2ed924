"""Bodies of the Open Inference Protocol: one JSON object, followed by the binary tensors."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from dilu.errors import RequestError
from dilu.runtime.codec import encode_result, item_decoder
from dilu.runtime.protocols.tensor_results import Output
from dilu.runtime.protocols.tensors import DATATYPES, Tensor, packed

MAX_DIMENSIONS = 8
MAX_TENSORS = 256
_Size = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
_Shape = Annotated[list[_Size], msgspec.Meta(min_length=1, max_length=MAX_DIMENSIONS)]
_Name = Annotated[str, msgspec.Meta(min_length=1)]


class _InputParameters(msgspec.Struct):
    binary_data_size: Annotated[int, msgspec.Meta(ge=0)] | None = None
    shared_memory_region: Any = None


class _OutputParameters(msgspec.Struct):
    binary_data: bool | None = None
    classification: Any = None
    shared_memory_region: Any = None


class _RequestParameters(msgspec.Struct):
    binary_data_output: bool = False


class _Input(msgspec.Struct):
    name: _Name
    shape: _Shape
    datatype: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: _InputParameters | None = None


class RequestedOutput(msgspec.Struct):
    """An output named in a request."""

    name: str
    parameters: _OutputParameters | None = None


class _InferBody(msgspec.Struct):
    inputs: Annotated[list[_Input], msgspec.Meta(min_length=1, max_length=MAX_TENSORS)]
    id: str | None = None
    outputs: Annotated[list[RequestedOutput], msgspec.Meta(max_length=MAX_TENSORS)] | None = None
    parameters: _RequestParameters | None = None


_decode_body = item_decoder(_InferBody)


class InferRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request, checked except for the values of its tensors."""

    id: str | None
    tensors: list[Tensor]
    outputs: list[RequestedOutput] | None  # None: all
    wants_binary: bool  # for outputs without a setting of their own


def parse_request(body: bytes, json_size: bytes | None) -> InferRequest:
    """Parse the body of a request; `json_size` is the header that says where binary data begins.

    Raise `RequestError` (400) that names the invalid part.
    """
    size = _json_size(json_size, len(body))
    try:
        parsed: _InferBody = _decode_body(body if size == len(body) else body[:size])
    except RequestError as error:
        raise RequestError(400, error.code, str(error), field=error.field) from None
    _check_outputs(parsed.outputs)
    return InferRequest(
        id=parsed.id,
        tensors=_tensors(parsed.inputs, memoryview(body)[size:]),
        outputs=parsed.outputs or None,
        wants_binary=parsed.parameters is not None and parsed.parameters.binary_data_output,
    )


def _json_size(header: bytes | None, length: int) -> int:
    if header is None:
        return length
    if not header.isdigit() or len(header) > 18 or int(header) > length:
        shown = header[:40].decode(errors="backslashreplace")
        raise RequestError(
            400,
            "invalid-header",
            f"Inference-Header-Content-Length: {shown!r} must be a number of bytes, at most the body's {length}",
            field="Inference-Header-Content-Length",
        )
    return int(header)


def _check_outputs(outputs: list[RequestedOutput] | None) -> None:
    names = set()
    for index, output in enumerate(outputs or ()):
        where = f"$.outputs[{index}]"
        if output.name in names:
            raise RequestError(400, "duplicate-output", f"output {output.name!r} occurs twice", field=f"{where}.name")
        names.add(output.name)
        parameters = output.parameters
        if parameters is None:
            continue
        for extension in ("classification", "shared_memory_region"):
            if getattr(parameters, extension) is not None:
                raise _unsupported(extension, f"{where}.parameters")


def _unsupported(extension: str, where: str) -> RequestError:
    message = f"{extension}: this extension is not supported; binary_tensor_data is"
    return RequestError(400, "unsupported-extension", message, field=f"{where}.{extension}")


def _tensors(inputs: list[_Input], binary: memoryview) -> list[Tensor]:
    tensors, position = [], 0
    for index, one in enumerate(inputs):
        where = f"$.inputs[{index}]"
        datatype = DATATYPES.get(one.datatype)
        if datatype is None:
            message = f"input {one.name!r} has the datatype {one.datatype!r}; must be one of {', '.join(DATATYPES)}"
            raise RequestError(400, "invalid-datatype", message, field=f"{where}.datatype")
        size = None if one.parameters is None else _binary_size(one.parameters, where)
        data: msgspec.Raw | memoryview
        if size is not None:
            if one.data is not msgspec.UNSET:
                message = f"input {one.name!r} has both data and binary_data_size"
                raise RequestError(400, "invalid-tensor", message, field=f"{where}.data")
            data = binary[position : position + size]
            position += size
        elif one.data is msgspec.UNSET:
            raise RequestError(400, "missing-data", f"input {one.name!r} has no data", field=f"{where}.data")
        else:
            data = one.data
        tensors.append(Tensor(name=one.name, field=where, datatype=datatype, shape=tuple(one.shape), data=data))
    if position != len(binary):
        message = f"the inputs declare {position} bytes of binary data, the body has {len(binary)} after its JSON"
        raise RequestError(400, "invalid-binary-data", message, field="$.inputs")
    return tensors


def _binary_size(parameters: _InputParameters, where: str) -> int | None:
    if parameters.shared_memory_region is not None:
        raise _unsupported("shared_memory_region", f"{where}.parameters")
    return parameters.binary_data_size


class InferAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer; `json_size` is None if it has no binary tensors."""

    body: bytes
    json_size: int | None


def write_answer(request: InferRequest, outputs: Sequence[Output], model: str, version: str) -> InferAnswer:
    """Return the answer to `request`. Raise `RequestError`: 400 for an unknown output, 500 for unusable values."""
    pieces: list[bytes] = []
    written = []
    for output, is_binary in _chosen(request, outputs):
        tensor: dict[str, Any] = {
            "name": output.name,
            "shape": output.shape,
            "datatype": output.datatype.name,
        }
        if is_binary:
            piece = _packed(output)
            pieces.append(piece)
            tensor["parameters"] = {"binary_data_size": len(piece)}
        else:
            tensor["data"] = _texts(output) if output.datatype.kind == "text" else output.values
        written.append(tensor)
    answer: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        answer["id"] = request.id
    answer["outputs"] = written
    head = encode_result(answer)
    return InferAnswer(body=b"".join([head, *pieces]), json_size=len(head) if pieces else None)


def _chosen(request: InferRequest, outputs: Sequence[Output]) -> list[tuple[Output, bool]]:
    if request.outputs is None:
        return [(output, request.wants_binary) for output in outputs]
    by_name = {output.name: output for output in outputs}
    chosen = []
    for index, wanted in enumerate(request.outputs):
        output = by_name.get(wanted.name)
        if output is None:
            raise unknown_output(wanted.name, index, list(by_name))
        stated = None if wanted.parameters is None else wanted.parameters.binary_data
        chosen.append((output, request.wants_binary if stated is None else stated))
    return chosen


def unknown_output(name: str, index: int, known: Sequence[str]) -> RequestError:
    """Return the error for an output that the function does not have."""
    message = f"output {name!r} is unknown; this function has {', '.join(map(repr, known))}"
    return RequestError(400, "unknown-output", message, field=f"$.outputs[{index}].name")


def _packed(output: Output) -> bytes:
    try:
        return packed(output.values, output.datatype)
    except (OverflowError, struct.error):
        message = f"{output.name!r} has a number outside the range of {output.datatype.name}"
    except UnicodeEncodeError:
        message = f"{output.name!r} has text that UTF-8 cannot encode"
    raise RequestError(500, "unusable-result", f"the function's results cannot be tensors: {message}")


def _texts(output: Output) -> list[str]:
    try:
        return [value if isinstance(value, str) else value.decode() for value in output.values]
    except UnicodeDecodeError:
        message = f"{output.name!r} has bytes that are not UTF-8; request it with binary_data"
    raise RequestError(500, "unusable-result", message)
