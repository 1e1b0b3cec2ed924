"""Strategies for bodies: rubbish, JSON of any kind, and nearly what a function wants."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

# Each is a known trap of some JSON reader.
TRAPS = (
    b"",
    b" ",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b'{"text": "a", "weight": NaN}',
    b'{"text": "a", "weight": 1e999}',
    b'{"text": "a", "weight": -1e999}',
    b'{"text": "a", "stars": 1e999}',
    b"1e99999999999999999999",
    b"0.1e-99999999999999999999",
    b"1" * 5_000,
    b'{"text": "a", "stars": ' + b"1" * 5_000 + b"}",
    b'{"text": "a", "stars": 18446744073709551616}',
    b'{"text": "a", "stars": -9223372036854775809}',
    b'{"text": "a", "weight": ' + b"9" * 400 + b"}",
    b'{"text": "a", "stars": 1.0}',
    b'{"text": "a", "stars": true}',
    b'{"text": "a", "text": 1}',
    b'{"text": 1, "text": "a"}',
    b'{"text": "a", "tags": ["b", null]}',
    b'{"text": "a", "scores": {"x": "y"}}',
    b'{"text": "a", "answer_to": {"text": 1}}',
    b'{"text": "a", "answer_to": ' * 5_000 + b"null" + b"}" * 5_000,
    b"[" * 100_000,
    b"[" * 5_000 + b"]" * 5_000,
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    b'"\xff"',
    b'"\xc0\x80"',
    b'{"text": "a", "unknown": "\x80"}',
    b'{"text": "a", "\x80": 1}',
    b'"\xed\xa0\x80"',
    b'"\\ud800"',
    b'{"\\udfff": 1}',
    b'{"text": "\\ud800\\ud800"}',
    b"\xef\xbb\xbf1",
    "1".encode("utf-16"),
    "1".encode("utf-32"),
    b'"\x00"',
    b"\x00",
    b"01",
    b"-",
    b"+1",
    b".5",
    b"1.",
    b"1 2",
    b"[1,]",
    b'{"a":1,}',
    b"{'a': 1}",
    b"{a: 1}",
    b"// 1",
    b'"a\nb"',
    b'"\\x41"',
    b"nul",
    b"True",
    b"undefined",
)

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**60), 10**60)
    | st.floats()
    | st.text(max_size=20)
    | st.text(st.characters(), max_size=5)
)
json_values: st.SearchStrategy[Any] = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
# Field of the review under fuzz, and whether a JSON value is one that it takes.
FIELDS = ("text", "stars", "weight", "tags", "scores", "language", "answer_to")


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _mutated(pieces: tuple[bytes, int, int, bytes]) -> bytes:
    body, start, length, patch = pieces
    start %= len(body) + 1
    return body[:start] + patch + body[start + length :]


reviews = st.fixed_dictionaries(
    {"text": st.text(max_size=20)},
    optional={
        "stars": st.integers(0, 5),
        "weight": st.floats(allow_nan=False, allow_infinity=False),
        "tags": st.lists(st.text(max_size=5), max_size=3),
        "scores": st.dictionaries(st.text(max_size=5), st.floats(0, 1), max_size=3),
        "language": st.sampled_from(["en", "tr"]),
    },
)
near_reviews = st.builds(
    lambda review, field, value: {**review, field: value}, reviews, st.sampled_from(FIELDS), json_values
)
_valid = st.builds(_dumped, reviews | near_reviews | json_values)
_broken = st.builds(_mutated, st.tuples(_valid, st.integers(0, 10_000), st.integers(0, 6), st.binary(max_size=6)))
bodies = st.sampled_from(TRAPS) | st.binary(max_size=60) | _valid | _broken


def is_json(body: bytes) -> bool:
    """Whether a strict reader takes the body; Python's own, which is not ours."""
    try:
        json.loads(body.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
