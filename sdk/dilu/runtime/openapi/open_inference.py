"""The Open Inference Protocol in the OpenAPI document: its routes (static/open_inference.json) and tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dilu.errors import RequestError
from dilu.handlers import FunctionDefinition
from dilu.runtime.openapi.parts import JSON, closed, plain_example, reference
from dilu.runtime.openapi.schema_components import Schema
from dilu.runtime.openapi.static_parts import completed, filled, static_parts
from dilu.runtime.protocols.inference_messages import MAX_TENSORS
from dilu.runtime.protocols.open_inference import VERSION
from dilu.runtime.protocols.tensor_results import outputs_of
from dilu.runtime.protocols.tensor_types import INPUT, OUTPUT, Signature, TensorType, signature_of
from dilu.runtime.protocols.tensors import DATATYPES, Datatype, Kind

_ERROR_SCHEMA = "InferenceError"
_ANY_KIND: tuple[Kind, ...] = ("bool", "int", "float", "text")
_JSON_TYPES: Mapping[Kind, str] = {"bool": "boolean", "int": "integer", "float": "number", "text": "string"}
_DEFAULTS: Mapping[Kind, Any] = {"bool": True, "int": 1, "float": 0.5, "text": "text"}
_MODEL = "/models/"


def inference_schemas(definitions: Sequence[FunctionDefinition]) -> dict[str, Schema]:
    """Return the components of the protocol, and the request of each function."""
    schemas: dict[str, Schema] = dict(static_parts("open_inference")["schemas"])
    for definition in definitions:
        signature = signature_of(definition.item_type, INPUT)
        kinds = [tensor.kinds for tensor in signature.tensors] or [_ANY_KIND]
        schemas.update((_data_name(one), _data_schema(one)) for one in kinds)
        schemas[_request_name(definition)] = _request_schema(definition, signature)
    return schemas


def _request_name(definition: FunctionDefinition) -> str:
    return f"{definition.spec.name}.InferenceRequest"


def server_paths() -> dict[str, Schema]:
    """Return the path items of the whole replica."""
    paths = static_parts("open_inference")["paths"]
    return {path: completed(filled(item), _ERROR_SCHEMA) for path, item in paths.items() if _MODEL not in path}


def model_paths(definition: FunctionDefinition) -> dict[str, Schema]:
    """Return the path items of one function, with and without its version."""
    static, name = static_parts("open_inference"), definition.spec.name
    templates = {path: item for path, item in static["paths"].items() if _MODEL in path}
    paths: dict[str, Schema] = {}
    for id_, label, path in (
        (name, name, name),
        (f"{name}.version.{VERSION}", f"{name} version {VERSION}", f"{name}/versions/{VERSION}"),
    ):
        items = filled(templates, name=name, id=id_, label=label, path=path)
        paths.update({key: completed(item, _ERROR_SCHEMA, static["errors"]) for key, item in items.items()})
    example = _example(definition, signature_of(definition.item_type, INPUT))
    if example is not None:
        for path, item in paths.items():
            if path.endswith("/infer"):
                item["post"]["requestBody"]["content"][JSON]["example"] = {"inputs": example}
    return paths


# -- requests


def _request_schema(definition: FunctionDefinition, signature: Signature) -> Schema:
    request: Schema = filled(static_parts("open_inference")["request"])
    inputs = [_input_schema(tensor) for tensor in signature.tensors] or [_input_schema(None)]
    required = sum(tensor.is_required for tensor in signature.tensors)
    request["properties"]["inputs"] |= {
        "items": {"anyOf": inputs} if len(inputs) > 1 else inputs[0],
        "minItems": max(required, 1),
        "maxItems": len(signature.tensors) or MAX_TENSORS,
    }
    known = () if definition.is_streaming else signature_of(definition.result_type, OUTPUT).tensors
    outputs = request["properties"]["outputs"]
    outputs["maxItems"] = len(known) or MAX_TENSORS
    outputs["items"]["properties"]["name"] = {"enum": [one.name for one in known]} if known else {"type": "string"}
    return request


def _input_schema(tensor: TensorType | None) -> Schema:
    """Return the schema of one input; None stands for any name and datatype."""
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


def _example(definition: FunctionDefinition, signature: Signature) -> list[dict[str, Any]] | None:
    """Return the inputs of one row: the function's own example, else values of its type; None if that is unknown."""
    example = plain_example(definition)
    if example is not None and signature.form != "positions":
        try:
            outputs = outputs_of(example)
        except RequestError:  # not a tensor
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
