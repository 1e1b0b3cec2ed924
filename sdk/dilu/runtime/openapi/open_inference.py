"""The Open Inference Protocol in the OpenAPI document: its routes, and each function's tensors as schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dilu.errors import RequestError
from dilu.handlers import FunctionDefinition
from dilu.runtime.openapi.parts import (
    CALL_ERRORS,
    HEAD_ERRORS,
    JSON,
    call_parameters,
    closed,
    error_responses,
    plain_example,
    reference,
    result_headers,
)
from dilu.runtime.openapi.schema_components import Schema
from dilu.runtime.protocols.inference_messages import MAX_DIMENSIONS, MAX_TENSORS
from dilu.runtime.protocols.open_inference import PREFIX, VERSION
from dilu.runtime.protocols.tensor_results import outputs_of
from dilu.runtime.protocols.tensor_types import INPUT, OUTPUT, Signature, TensorType, signature_of
from dilu.runtime.protocols.tensors import DATATYPES, Datatype, Kind

_TAG = "Open Inference Protocol"
_BINARY = "application/octet-stream"
_JSON_SIZE = "Inference-Header-Content-Length"
_ERRORS = {
    **CALL_ERRORS,
    400: "The body cannot be read, or its tensors do not fit each other or the function.",
    413: "The body is larger than this function takes, or has more rows than can wait.",
    415: "The body is compressed.",
    422: "A row is of another type than the function takes, or has a value that it refuses.",
}
_ANY_KIND: tuple[Kind, ...] = ("bool", "int", "float", "text")
_JSON_TYPES: Mapping[Kind, str] = {"bool": "boolean", "int": "integer", "float": "number", "text": "string"}
_DEFAULTS: Mapping[Kind, Any] = {"bool": True, "int": 1, "float": 0.5, "text": "text"}
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_BINARY_BODY: Schema = {
    "description": "The JSON, in which tensors have `parameters.binary_data_size` in the place of `data`; then the "
    "bytes of these tensors in their order, little-endian, the elements of BYTES with 4 bytes of length before each."
}
_ANY_DATATYPE: Schema = {"enum": list(DATATYPES)}


_METADATA: Schema = {
    "type": "array",
    "items": closed(name=_TEXT, datatype=_ANY_DATATYPE, shape={"type": "array", "items": {"type": "integer"}}),
}
_RESULT: Schema = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "shape": {"type": "array", "items": _COUNT},
        "datatype": _ANY_DATATYPE,
        "data": {
            "type": "array",
            "items": {"type": ["number", "boolean", "string", "null"]},
            "description": "All values in row-major order; NaN is null. Missing where it follows as binary data.",
        },
        "parameters": closed(binary_data_size=_COUNT),
    },
    "required": ["name", "shape", "datatype"],
}
_SCHEMAS: Mapping[str, Schema] = {
    "InferenceError": closed(error={"type": "string", "description": "One line for people; it names the place."}),
    "InferenceServer": closed(name=_TEXT, version=_TEXT, extensions={"type": "array", "items": _TEXT}),
    "InferenceModel": closed(
        name=_TEXT, versions={"type": "array", "items": _TEXT}, platform=_TEXT, inputs=_METADATA, outputs=_METADATA
    ),
    "InferenceShape": {
        "type": "array",
        "items": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
        "minItems": 1,
        "maxItems": MAX_DIMENSIONS,
        "description": "The first dimension is the batch.",
    },
    "InferenceResult": {
        "type": "object",
        "properties": {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "id": {"type": "string", "description": "That of the request."},
            "outputs": {"type": "array", "items": _RESULT},
        },
        "required": ["model_name", "model_version", "outputs"],
    },
}


def inference_schemas(definitions: Sequence[FunctionDefinition]) -> dict[str, Schema]:
    """The components: those of the protocol, and of each function what it takes."""
    schemas = dict(_SCHEMAS)
    for definition in definitions:
        signature = signature_of(definition.item_type, INPUT)
        kinds = [tensor.kinds for tensor in signature.tensors] or [_ANY_KIND]
        schemas.update((_data_name(one), _data_schema(one)) for one in kinds)
        schemas[_request_name(definition)] = _request_schema(definition, signature)
    return schemas


def _request_name(definition: FunctionDefinition) -> str:
    return f"{definition.spec.name}.InferenceRequest"


def server_paths() -> dict[str, Schema]:
    """The routes of the whole replica."""
    return {
        PREFIX: _page("v2.server", "The server, and the extensions that it has.", reference("InferenceServer")),
        f"{PREFIX}/health/live": _page("v2.live", "The server is there.", closed(live={"const": True})),
        f"{PREFIX}/health/ready": _ready_page("v2.ready", "All functions are loaded and warm."),
    }


def model_paths(definition: FunctionDefinition) -> dict[str, Schema]:
    """The routes of one function."""
    name = definition.spec.name
    paths: dict[str, Schema] = {}
    for suffix, version in (("", ""), (f"/versions/{VERSION}", f" version {VERSION}")):
        path, id_ = f"{PREFIX}/models/{name}{suffix}", f"v2.{name}{version.replace(' ', '.')}"
        text = f"What {name}{version} takes and gives."
        ready = f"{name}{version} is loaded and warm."
        paths[path] = _page(f"{id_}.metadata", text, reference("InferenceModel"))
        paths[f"{path}/ready"] = _ready_page(f"{id_}.ready", ready, name={"const": name})
        paths[f"{path}/infer"] = {"post": _infer(definition, f"{id_}.infer", f"Call {name}{version} with tensors")}
    return paths


def _page(id_: str, text: str, schema: Schema) -> Schema:
    content = {JSON: {"schema": schema}}
    responses = {
        "200": {"description": text, "headers": result_headers(), "content": content},
        **error_responses(errors=HEAD_ERRORS),
    }
    return {"get": {"operationId": id_, "summary": text, "tags": [_TAG], "responses": responses}}


def _ready_page(id_: str, text: str, **properties: Schema) -> Schema:
    page = _page(id_, text, closed(**properties, ready={"const": True}))
    content = {JSON: {"schema": closed(**properties, ready={"const": False})}}
    page["get"]["responses"]["503"] = {"description": "Starting or stopping.", "content": content}
    return page


def _infer(definition: FunctionDefinition, id_: str, summary: str) -> Schema:
    content: Schema = {"schema": reference(_request_name(definition))}
    example = _example(definition, signature_of(definition.item_type, INPUT))
    if example is not None:
        content["example"] = {"inputs": example}
    size = {"description": "Where the JSON ends and binary tensors begin.", "schema": _COUNT}
    return {
        "operationId": id_,
        "summary": summary,
        "description": "Each row of the tensors is one item. All rows wait, run and fail together.",
        "tags": [_TAG],
        "parameters": [*call_parameters(), {"name": _JSON_SIZE, "in": "header", **size}],
        "requestBody": {"required": True, "content": {JSON: content, _BINARY: {"schema": _BINARY_BODY}}},
        "responses": {
            "200": {
                "description": "One tensor for each part of the results, as JSON or with binary data behind it.",
                "headers": {**result_headers(), _JSON_SIZE: size},
                "content": {JSON: {"schema": reference("InferenceResult")}, _BINARY: {"schema": _BINARY_BODY}},
            },
            **error_responses("InferenceError", _ERRORS),
        },
    }


# -- requests


def _request_schema(definition: FunctionDefinition, signature: Signature) -> Schema:
    inputs = [_input_schema(tensor) for tensor in signature.tensors] or [_input_schema(None)]
    required = sum(tensor.is_required for tensor in signature.tensors)
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "Comes back with the result."},
            "inputs": {
                "type": "array",
                "items": {"anyOf": inputs} if len(inputs) > 1 else inputs[0],
                "minItems": max(required, 1),
                "maxItems": len(signature.tensors) or MAX_TENSORS,
            },
            "outputs": _wanted_schema(definition),
            "parameters": {
                "type": "object",
                "properties": {"binary_data_output": {"type": "boolean", "default": False}},
            },
        },
        "required": ["inputs"],
    }


def _input_schema(tensor: TensorType | None) -> Schema:
    """One input; None: of any name and datatype."""
    name: Schema = {"type": "string", "minLength": 1} if tensor is None else {"const": tensor.name}
    kinds = _ANY_KIND if tensor is None else tensor.kinds
    return closed(
        name=name,
        shape=reference("InferenceShape"),
        datatype={"enum": [datatype.name for datatype in DATATYPES.values() if datatype.kind in kinds]},
        data=reference(_data_name(kinds)),
    )


def _data_name(kinds: Sequence[Kind]) -> str:
    return "InferenceData." + "-".join(kinds)


def _data_schema(kinds: Sequence[Kind]) -> Schema:
    return {
        "type": "array",
        "description": "Values in row-major order, or nested as the shape says.",
        "items": {"anyOf": [{"type": [_JSON_TYPES[kind] for kind in kinds]}, reference(_data_name(kinds))]},
        "minItems": 1,
    }


def _wanted_schema(definition: FunctionDefinition) -> Schema:
    known = () if definition.is_streaming else signature_of(definition.result_type, OUTPUT).tensors
    name: Schema = {"enum": [tensor.name for tensor in known]} if known else _TEXT
    parameters: Schema = {"type": "object", "properties": {"binary_data": {"type": "boolean"}}}
    return {
        "type": "array",
        "description": "Those that are wanted, each once; all, if there are none.",
        "items": {"type": "object", "properties": {"name": name, "parameters": parameters}, "required": ["name"]},
        "maxItems": len(known) or MAX_TENSORS,
    }


def _example(definition: FunctionDefinition, signature: Signature) -> list[dict[str, Any]] | None:
    """The inputs of one row: the function's own example, else something of the type; None for unknown types."""
    example = plain_example(definition)
    if example is not None and signature.form != "positions":
        try:
            outputs = outputs_of(example)
        except RequestError:  # it is no tensor
            return None
        is_whole = not isinstance(example[0], dict)
        found = [_input(INPUT if is_whole else one.name, one.shape, one.datatype, one.values) for one in outputs]
        return found if found and all(all(one.shape) for one in outputs) else None
    return [
        _input(one.name, [1] * (one.rank or 2), one.datatype, [_DEFAULTS[one.datatype.kind]])
        for one in signature.tensors
        if one.is_required
    ] or None


def _input(name: str, shape: list[int], datatype: Datatype, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype.name, "data": data}
