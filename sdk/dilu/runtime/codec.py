"""JSON in and out: decoding checks the type that the handler's annotation states."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from dilu.errors import RequestError

_FIELD = re.compile(r"^(?P<what>.*?)(?: - at `(?P<field>[^`]*)`)?$", re.DOTALL)


def item_decoder(item_type: Any) -> Callable[[bytes], Any]:
    """A function from a request's body to one item of `item_type`.

    It raises `RequestError`: 400 for what is not JSON, 422 for JSON of another type, with the field at fault.
    Types that JSON cannot state (arrays, tensors, classes of others) are not checked.
    """
    decoder = _decoder(item_type)

    def decode(body: bytes) -> Any:
        if not body:
            raise RequestError(400, "empty-body", "the body is empty; send one JSON value")
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:
            _check_is_json(body)  # the type may be found wrong before the syntax is
            what, field = _parts(error)
            raise RequestError(422, "invalid-type", what, field=field) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            _check_is_json(body)
            raise RequestError(400, "invalid-json", "the body is not JSON that can be read") from None

    return decode


def _check_is_json(body: bytes) -> None:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(400, "invalid-json", f"the body is not JSON: {error}", field="$") from None
    except RecursionError:
        raise RequestError(400, "invalid-json", "the body nests too deeply", field="$") from None


def encode_result(result: Any) -> bytes:
    """One result as JSON. Arrays, tensors and numpy scalars become lists and numbers; NaN becomes null."""
    return _ENCODER.encode(result)


def _decoder(item_type: Any) -> msgspec.json.Decoder[Any]:
    if _is_checkable(item_type):
        return msgspec.json.Decoder(item_type)
    return msgspec.json.Decoder(Any)


def _is_checkable(item_type: Any) -> bool:
    """Whether JSON can state the type: no part of it is a class that msgspec does not know."""
    try:
        return not _has_custom(msgspec.inspect.type_info(item_type))
    except (TypeError, NameError, AttributeError):
        return False


def _has_custom(info: Any) -> bool:
    if isinstance(info, msgspec.inspect.CustomType):
        return True
    if isinstance(info, msgspec.inspect.Type):
        return any(_has_custom(getattr(info, name)) for name in info.__struct_fields__)
    if isinstance(info, msgspec.inspect.Field):
        return _has_custom(info.type)
    if isinstance(info, (tuple, list)):
        return any(_has_custom(part) for part in info)
    return False


def _parts(error: msgspec.ValidationError) -> tuple[str, str]:
    match = _FIELD.match(str(error))
    assert match is not None  # the pattern matches every text
    return match["what"], match["field"] or "$"


def _encode_foreign(value: Any) -> Any:
    """What msgspec does not know: arrays, tensors and numpy scalars say `tolist`, pydantic models `model_dump`."""
    for method in ("tolist", "model_dump"):
        convert = getattr(value, method, None)
        if callable(convert):
            return convert()
    raise TypeError(f"a result holds a {type(value).__module__}.{type(value).__qualname__}, which JSON cannot state")


_ENCODER = msgspec.json.Encoder(enc_hook=_encode_foreign)
