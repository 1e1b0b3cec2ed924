"""The cost of a typed item: msgspec structs beside pydantic models, read and checked by our codec, and written.

    python benchmarks/item_types.py [--quick]

Timed in this process, with nothing else. Alternating repeats of processor time. A small item (8 numbers) and
a large one (384, as many as a sentence's embedding has).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
import pydantic

import harness
from dilu.runtime.codec import ItemCodec, encode_result

NAME: Final = "item_types"
PACKAGES: Final = ("dilu", "msgspec", "pydantic")
NUMBERS: Final = {"small": 8, "large": 384}
_REPEATS: Final = {"full": 21, "quick": 7}
_COUNTS: Final = {"small": 5_000, "large": 1_000}


class Struct(msgspec.Struct):
    """The item as a msgspec struct."""

    id: str
    text: Annotated[str, msgspec.Meta(max_length=4096)]
    tags: list[str]
    score: Annotated[float, msgspec.Meta(ge=0, le=1)]
    features: list[float]
    meta: dict[str, int]


class Model(pydantic.BaseModel):
    """The same as a pydantic model."""

    id: str
    text: str = pydantic.Field(max_length=4096)
    tags: list[str]
    score: float = pydantic.Field(ge=0, le=1)
    features: list[float]
    meta: dict[str, int]


def body(numbers: int) -> bytes:
    """Return one item as JSON."""
    item = {
        "id": "a1",
        "text": "The meeting about the new library has been moved to Thursday at noon.",
        "tags": ["library", "meeting", "thursday"],
        "score": 0.5,
        "features": [number / 7 for number in range(numbers)],
        "meta": {"floor": 1, "room": 2},
    }
    return json.dumps(item).encode()


def each_us(call: Callable[[], Any], count: int) -> float:
    """Return the microseconds of processor time of each of `count` calls."""
    began_s = time.thread_time()
    for _ in range(count):
        call()
    return (time.thread_time() - began_s) / count * 1e6


def calls(size: str) -> dict[str, Callable[[], Any]]:
    """Return the calls that are timed, by name."""
    json_body = body(NUMBERS[size])
    struct, model = ItemCodec(Struct).decode, ItemCodec(Model).decode
    as_struct, as_model = struct(json_body), model(json_body)
    return {
        f"read {size}: msgspec": lambda: struct(json_body),
        f"read {size}: pydantic": lambda: model(json_body),
        f"read {size}: pydantic alone": lambda: Model.model_validate_json(json_body),
        f"read {size}: json, unchecked": lambda: json.loads(json_body),
        f"write {size}: msgspec": lambda: encode_result(as_struct),
        f"write {size}: pydantic": lambda: encode_result(as_model),
    }


def main() -> None:
    options = harness.arguments(__doc__)
    harness.pin_client()
    repeats = _REPEATS["quick" if options.quick else "full"]
    found: dict[str, list[float]] = {}
    for size in NUMBERS:
        timed = calls(size)
        found |= harness.interleaved(
            tuple(timed),
            lambda name, timed=timed, size=size: each_us(timed[name], _COUNTS[size]),  # type: ignore[misc]
            repeats,
        )
    rows = [
        harness.row(
            f"{verb} a {size} item",
            found[f"{verb} {size}: msgspec"],
            "us",
            peer="pydantic",
            peer_value=found[f"{verb} {size}: pydantic"],
        )
        for verb in ("read", "write")
        for size in NUMBERS
    ]
    harness.write_result(NAME, rows, details={"repeats_us": found}, options=options, packages=PACKAGES)


if __name__ == "__main__":
    main()
