"""Tensors of the Open Inference Protocol: datatypes, and values in JSON or bytes."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Annotated, Any, Literal

import msgspec

from dilu.errors import RequestError
from dilu.runtime.codec import item_decoder

Kind = Literal["bool", "int", "float", "text"]

_BRACKETS = re.compile(rb"[\s\[]*")
_LENGTH = struct.Struct("<I")  # before each element of a BYTES tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Datatype:
    """One datatype of the protocol."""

    name: str
    kind: Kind
    code: str  # of `struct`; "" for BYTES
    dtype: str  # of numpy and torch; "" for BYTES
    minimum: float = 0
    maximum: float = 0


def _integer(bits: int, code: str, *, signed: bool) -> Datatype:
    name, dtype = f"INT{bits}", f"int{bits}"
    if signed:
        return Datatype(
            name=name, kind="int", code=code, dtype=dtype, minimum=-(2 ** (bits - 1)), maximum=2 ** (bits - 1) - 1
        )
    return Datatype(name="U" + name, kind="int", code=code.upper(), dtype="u" + dtype, maximum=2**bits - 1)


def _float(bits: int, code: str, maximum: float) -> Datatype:
    return Datatype(name=f"FP{bits}", kind="float", code=code, dtype=f"float{bits}", minimum=-maximum, maximum=maximum)


_ALL = (
    Datatype(name="BOOL", kind="bool", code="?", dtype="bool"),
    *(
        _integer(bits, code, signed=signed)
        for bits, code in ((8, "b"), (16, "h"), (32, "i"), (64, "q"))
        for signed in (True, False)
    ),
    # The largest values that still round to a finite one.
    _float(16, "e", 65519.99999999999),
    _float(32, "f", 3.4028235677973362e38),
    _float(64, "d", 1.7976931348623157e308),
    Datatype(name="BYTES", kind="text", code="", dtype=""),
)
DATATYPES = {datatype.name: datatype for datatype in _ALL}
OF_DTYPE = {datatype.dtype: datatype for datatype in _ALL if datatype.dtype}
OF_DTYPE["bfloat16"] = DATATYPES["FP32"]  # the protocol has no such type; FP32 can represent every value of it


class Tensor(msgspec.Struct, frozen=True, kw_only=True):  # one for each input of each request: a dataclass takes longer
    """One input of a request, checked except for its values."""

    name: str
    field: str  # its path in the request, for errors
    datatype: Datatype
    shape: tuple[int, ...]
    data: msgspec.Raw | memoryview  # JSON, or little-endian bytes

    @property
    def size(self) -> int:
        """The number of values by the shape."""
        return math.prod(self.shape)

    def values(self) -> list[Any]:
        """Return all values in row-major order. Raise `RequestError` if they do not fit the shape and datatype."""
        if isinstance(self.data, memoryview):
            values = self._unpacked_text() if self.datatype.kind == "text" else self._unpacked_numbers()
        else:
            values = self._parsed(bytes(self.data))
        if len(values) != self.size:
            raise self.fault(f"has {len(values)} values, but its shape {list(self.shape)} has {self.size}")
        return values

    def numbers(self) -> memoryview:
        """Return the bytes of a tensor of numbers. Raise `RequestError` unless they fit the shape."""
        assert isinstance(self.data, memoryview)  # callers have checked it
        wanted = self.size * struct.calcsize(self.datatype.code)
        if len(self.data) != wanted:
            stated = f"{self.datatype.name} of shape {list(self.shape)} is {wanted}"
            raise self.fault(f"has {len(self.data)} bytes of binary data, but {stated}")
        return self.data

    def fault(self, what: str, code: str = "invalid-tensor", place: str = "data") -> RequestError:
        """Return an error that names this input."""
        return RequestError(400, code, f"input {self.name!r} {what}", field=f"{self.field}.{place}")

    def not_finite(self) -> RequestError:
        """Return the error for NaN and infinities."""
        return self.fault("has NaN or an infinity", code="not-finite")

    def _unpacked_numbers(self) -> list[Any]:
        values = list(struct.unpack(f"<{self.size}{self.datatype.code}", self.numbers()))
        # NaN and infinities survive a sum. A sum may also overflow, so then all values are checked.
        if self.datatype.kind == "float" and not (math.isfinite(sum(values)) or all(map(math.isfinite, values))):
            raise self.not_finite()
        return values

    def _unpacked_text(self) -> list[bytes]:
        values, position, end = [], 0, len(self.data)
        data = bytes(self.data)
        while position < end:
            start = position + _LENGTH.size
            if start > end:
                raise self.fault("ends within the length of an element")
            position = start + _LENGTH.unpack_from(data, position)[0]
            if position > end:
                raise self.fault("ends within an element")
            values.append(data[start:position])
        return values

    def _parsed(self, data: bytes) -> list[Any]:
        depth = self._depth(data)
        try:
            values: list[Any] = _decoder(self.datatype.name, depth)(data)
        except RequestError as error:
            place = "" if error.field is None else error.field.removeprefix("$")
            message = f"has values that are not {self.datatype.name}: {error}"
            raise self.fault(message, "invalid-value", f"data{place}") from None
        for level in range(1, depth):
            if any(len(row) != self.shape[level] for row in values):
                raise self.fault(f"is not nested like its shape {list(self.shape)}")
            values = list(chain.from_iterable(values))
        if self.datatype.name == "UINT64" and values and max(values) > self.datatype.maximum:
            raise self.fault(f"has {_short(max(values))}, which is above the maximum of UINT64", "invalid-value")
        return values

    def _depth(self, data: bytes) -> int:
        """Return how deep the values are nested: 1 (flat), or the number of dimensions."""
        brackets = _BRACKETS.match(data)
        depth = 0 if brackets is None else brackets.group().count(b"[")
        if depth == 0:
            raise self.fault("must have an array as its data", "invalid-type")
        if depth not in (1, len(self.shape)):
            raise self.fault(
                f"is nested {depth} deep, but its shape {list(self.shape)} has {len(self.shape)} dimensions"
            )
        return depth


def nested(values: list[Any], shape: Sequence[int]) -> list[Any]:
    """Return row-major values as nested lists, one level for each dimension."""
    for size in reversed(shape[1:]):
        values = [values[start : start + size] for start in range(0, len(values), size)]
    return values


def packed(values: Sequence[Any], datatype: Datatype) -> bytes:
    """Return row-major values as the bytes of a binary tensor."""
    if datatype.kind != "text":
        return struct.pack(f"<{len(values)}{datatype.code}", *values)
    pieces: list[bytes] = []
    for value in values:
        element = value.encode() if isinstance(value, str) else value
        pieces += (_LENGTH.pack(len(element)), element)
    return b"".join(pieces)


@lru_cache(maxsize=256)
def _decoder(name: str, depth: int) -> Any:
    array: Any = list[_element(DATATYPES[name])]  # type: ignore[misc]  # a type made at run time
    for _ in range(depth - 1):
        array = list[array]
    return item_decoder(array)


def _element(datatype: Datatype) -> Any:
    if datatype.kind == "bool":
        return bool
    if datatype.kind == "text":
        return str
    if datatype.kind == "float":
        return Annotated[float, msgspec.Meta(ge=datatype.minimum, le=datatype.maximum)]
    minimum, maximum = int(datatype.minimum), int(datatype.maximum)
    # msgspec's bounds are signed 64-bit numbers; the maximum of UINT64 is checked separately.
    return Annotated[int, msgspec.Meta(ge=minimum, le=maximum if maximum < 2**63 else None)]


def _short(number: int) -> str:
    return str(number) if number < 10**30 else "a number of more than 30 digits"
