"""What was seen of one function, as JSON lines. Every error is one line: `FILE:LINE: key: rule (seen value)`.

| keys of a line              | meaning                                                                                |
|-----------------------------|----------------------------------------------------------------------------------------|
| t_s                         | seconds; required                                                                      |
| ready                       | ready replicas; null: unknown; absent: as on the line before                           |
| stable, panic               | averages over the two windows; null: no data                                           |
| concurrency, rps            | what one reporter, or all together, saw in the second of t_s; null: nothing            |
| missed                      | requests that ended in that second and missed their objective; absent, null: unknown   |
| spec                        | keys that are other than before, from this line on; null: the default again            |
| starting, desired, waiting, | as in `Observation`; absent: as on the line before. Knative's autoscaler knows none of |
| learned_rps, grantable_rps  | them                                                                                   |

A file holds averages or values, not both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from dilu.errors import ConfigError
from dilu.spec.fields import FieldError, Position, positive_number, unknown_key, whole_number

MAX_LINE_LENGTH: Final = 65536
_MAX_LOAD: Final = 1e15


class LineKind(StrEnum):
    """What a file's lines hold."""

    AVERAGES = "averages (stable, panic)"
    VALUES = "values (concurrency, rps)"


_KINDS: Final = {
    "stable": LineKind.AVERAGES,
    "panic": LineKind.AVERAGES,
    "concurrency": LineKind.VALUES,
    "rps": LineKind.VALUES,
    "missed": LineKind.VALUES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedLine:
    """One line of a file."""

    position: Position
    t_s: float
    kind: LineKind | None
    """None: it has neither averages nor values."""
    loads: Mapping[str, float]
    """The averages or values of the line that are numbers."""
    replicas: Mapping[str, Any]
    """`ready` and what else an `Observation` has, where the line says so."""
    spec: Mapping[str, object] = field(default_factory=dict)


def read_lines(file: str, texts: Iterable[str]) -> Iterator[RecordedLine]:
    """Yield the lines of a file in order. Raises `ConfigError` at the first invalid one."""
    kind: LineKind | None = None
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        position = Position(file=file, line=number, key_lines={})
        with position.locating():
            line = _line(position, _object(position, text))
            if line.kind is not None and kind not in (None, line.kind):
                rule = f"a file holds averages or values, not both; the lines before have {kind}"
                raise FieldError(next(key for key in _KINDS if _KINDS[key] is line.kind), rule)
        kind = line.kind or kind
        yield line


def _object(position: Position, text: str) -> dict[str, object]:
    if len(text) > MAX_LINE_LENGTH:
        raise ConfigError(f"{position.file}:{position.line}: the line is longer than {MAX_LINE_LENGTH} characters")
    try:
        value = json.loads(text, parse_constant=_refused_constant)
    except RecursionError:
        raise ConfigError(f"{position.file}:{position.line}: no JSON: nested too deeply") from None
    except ValueError as error:
        raise ConfigError(f"{position.file}:{position.line}: no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{position.file}:{position.line}: must be a JSON object such as {_EXAMPLE}")
    return value


_EXAMPLE: Final = '{"t_s": 0, "ready": 1, "stable": 12.5, "panic": 20}'


def _refused_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _line(position: Position, keys: dict[str, object]) -> RecordedLine:
    for key in keys:
        if key not in _READERS:
            raise unknown_key(key, tuple(_READERS))
    if "t_s" not in keys:
        raise FieldError("t_s", "is required")
    read = {key: _READERS[key](key, value) for key, value in keys.items()}
    kinds = {_KINDS[key] for key in keys if key in _KINDS}
    if len(kinds) > 1:
        raise FieldError("stable", "a line holds averages or values, not both")
    return RecordedLine(
        position=position,
        t_s=read["t_s"],
        kind=next(iter(kinds), None),
        loads={key: read[key] for key in _KINDS if read.get(key) is not None},
        replicas={key: read[key] for key in _REPLICAS if key in read},
        spec=read.get("spec") or {},
    )


def _time(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**53:
        raise FieldError(key, "must be seconds, at least 0", value)
    return value


def _load(key: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _MAX_LOAD:
        raise FieldError(key, "must be a number, or null for no data", value)
    return float(value)


def _count(key: str, value: object) -> int:
    return whole_number(key, value, minimum=0)


def _count_or_unknown(key: str, value: object) -> int | None:
    return None if value is None else whole_number(key, value, minimum=0)


def _rate_or_unknown(key: str, value: object) -> float | None:
    return None if value is None else positive_number(key, value)


def _spec(key: str, value: object) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FieldError(key, "must be an object of the keys that change", value)
    return value


_REPLICAS: Final = {
    "ready": _count_or_unknown,
    "starting": _count,
    "desired": _count,
    "waiting": _count,
    "learned_rps": _rate_or_unknown,
    "grantable_rps": _rate_or_unknown,
}
_READERS: Final[Mapping[str, Any]] = {"t_s": _time, **dict.fromkeys(_KINDS, _load), **_REPLICAS, "spec": _spec}
