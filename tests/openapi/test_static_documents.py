"""What static/*.json states agrees with the code that answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dilu.events import SPEC_VERSION
from dilu.runtime.openapi import static_parts as module
from dilu.runtime.openapi.static_parts import filled, static_parts
from dilu.runtime.protocols.event_attributes import JSON
from dilu.runtime.protocols.event_messages import STRUCTURED_JSON
from dilu.runtime.protocols.inference_messages import MAX_DIMENSIONS
from dilu.runtime.protocols.tensors import DATATYPES

FILES = sorted((Path(module.__file__).parent / "static").glob("*.json"))


def at(part: Any, *keys: str) -> Any:
    for key in keys:
        part = part[key]
    return part


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_braces_stand_only_for_what_depends_on_the_function(path: Path) -> None:
    text = json.dumps(filled(static_parts(path.stem), name="embed", id="embed", label="embed", path="embed"))
    assert not [word for word in ("{name}", "{id}", "{label}", "{path}") if word in text]


def test_tensors_have_the_datatypes_and_dimensions_that_are_parsed() -> None:
    schemas = static_parts("open_inference")["schemas"]
    assert schemas["InferenceShape"]["maxItems"] == MAX_DIMENSIONS
    metadata = at(schemas, "InferenceModel", "properties", "inputs", "items", "properties", "datatype")
    outputs = at(schemas, "InferenceResult", "properties", "outputs", "items", "properties", "datatype")
    assert metadata == outputs == {"enum": list(DATATYPES)}


def test_events_have_the_version_and_the_content_type_that_are_parsed() -> None:
    operation = static_parts("cloud_events")["operation"]
    (content,) = operation["requestBody"]["content"].items()
    assert content[0] == STRUCTURED_JSON.decode()
    assert content[1]["schema"]["properties"]["specversion"] == {"const": SPEC_VERSION}
    assert content[1]["schema"]["properties"]["datacontenttype"]["default"] == JSON


def test_filling_a_part_leaves_the_static_one_as_it_is() -> None:
    before = json.dumps(static_parts("openai"))
    item = filled(static_parts("openai")["paths"]["/embeddings"], name="embed")
    item["post"].clear()
    assert json.dumps(static_parts("openai")) == before
