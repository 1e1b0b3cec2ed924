"""JSON in and out: items are decoded and checked against the handler's annotation, results encoded."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import msgspec

from dilu.errors import RequestError

_log = logging.getLogger(__name__)
# How msgspec ends the message of a nested error: " - at `$.a[0]`", or " - at `key` in `$`" for a bad key.
_FIELD = re.compile(r"^(?P<what>.*?)(?: - at (?:`key` in )?`(?P<field>[^`]*)`)?$", re.DOTALL)
_MAX_TEXT = 500  # characters of an error that a user's type raised; it may quote the whole item


class ItemCodec:
    """Makes items of one type from a body, or from a value inside a protocol's own JSON.

    Both ways raise `RequestError`: 400 if it is not JSON, 422 naming the field if it is JSON of another type or has a
    value that the type refuses. Types that JSON cannot represent (arrays, tensors, other classes, unions of two
    classes) are not checked, and a warning is logged once. Pydantic models are validated.
    """

    def __init__(self, item_type: Any) -> None:
        self._decoder = _decoder(item_type)

    def decode(self, body: bytes) -> Any:
        """Return one item from the body of a request."""
        if not body:
            raise RequestError(400, "empty-body", "the body is empty; send one JSON value")
        if not body.isascii():
            _check_is_text(body)
        try:
            return self._decoder.decode(body)
        except (KeyboardInterrupt, RequestError):
            raise
        except BaseException as error:  # the type's own code may raise anything, SystemExit too
            raise _refusal(body, error) from None

    def convert(self, value: Any) -> Any:
        """Return one item from parsed JSON."""
        if self._decoder.type is Any:
            return value
        try:
            return msgspec.convert(value, self._decoder.type, dec_hook=_decode_foreign)
        except (KeyboardInterrupt, RequestError):
            raise
        except msgspec.ValidationError as error:
            raise _mismatch(error) from None
        except BaseException as error:
            raise RequestError(422, "invalid-value", _said(error), field="$") from None


def item_decoder(item_type: Any) -> Callable[[bytes], Any]:
    """Return `ItemCodec(item_type).decode`."""
    return ItemCodec(item_type).decode


def item_converter(item_type: Any) -> Callable[[Any], Any]:
    """Return `ItemCodec(item_type).convert`."""
    return ItemCodec(item_type).convert


def encode_result(result: Any) -> bytes:
    """Encode one result as JSON. Arrays, tensors and numpy scalars become lists and numbers; NaN becomes null."""
    return _ENCODER.encode(result)


def _refusal(body: bytes, error: BaseException) -> RequestError:
    _check_is_json(body)  # the type may be found wrong before the syntax is
    if isinstance(error, msgspec.ValidationError):
        return _mismatch(error)
    if isinstance(error, (msgspec.DecodeError, UnicodeDecodeError)):
        return RequestError(400, "invalid-json", "the body is not valid JSON")
    return RequestError(422, "invalid-value", _said(error), field="$")


def _check_is_text(body: bytes) -> None:
    """Raise unless the body is UTF-8; msgspec does not check the parts that it skips."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise RequestError(400, "invalid-json", f"the body is not JSON: {error}", field="$") from None


def _check_is_json(body: bytes) -> None:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(400, "invalid-json", f"the body is not JSON: {error}", field="$") from None
    except RecursionError:
        raise RequestError(400, "invalid-json", "the body nests too deeply", field="$") from None


def _mismatch(error: msgspec.ValidationError) -> RequestError:
    match = _FIELD.match(str(error))
    assert match is not None  # the pattern matches every text
    field, cause = match["field"] or "$", error.__cause__
    if cause is None:
        return RequestError(422, "invalid-type", _readable(match["what"]), field=field)
    fault = _first_fault(cause)
    if fault is None:
        return RequestError(422, "invalid-value", _said(cause), field=field)
    return RequestError(422, "invalid-value", fault[0], field=field + fault[1])


def _first_fault(error: BaseException) -> tuple[str, str] | None:
    """Return message and path of the first error in a pydantic error, or None for another kind of exception."""
    try:
        fault = error.errors()[0]  # type: ignore[attr-defined]  # other errors have no such method
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"])
        return _readable(fault["msg"]), _readable(path)
    except (AttributeError, LookupError, TypeError):
        return None


def _said(error: BaseException) -> str:
    try:
        text = _readable(str(error))
    except Exception:  # its __str__ is the user's too
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _readable(text: str) -> str:
    """Return the first line of the text, shortened, with characters escaped that UTF-8 cannot encode."""
    line = text.strip().partition("\n")[0][:_MAX_TEXT]
    return line.encode("utf-8", "backslashreplace").decode()


def _decoder(item_type: Any) -> msgspec.json.Decoder[Any]:
    if item_type is Any:
        return msgspec.json.Decoder()
    try:
        decoder = msgspec.json.Decoder(item_type, dec_hook=_decode_foreign)
        foreign = _foreign_class(msgspec.inspect.type_info(item_type), set())
    except Exception as error:  # msgspec inspects the user's classes, which may raise anything
        reason = _said(error)
    else:
        if foreign is None:
            return decoder
        reason = f"JSON cannot represent {getattr(foreign, '__qualname__', foreign)}"
    _log.warning("items of type %s are not checked, any JSON is accepted: %s", item_type, reason)
    return msgspec.json.Decoder()


def _foreign_class(info: Any, seen: set[int]) -> Any:
    """Return a class in the type that cannot be made from JSON, or None. Types may be recursive."""
    if id(info) in seen:
        return None
    seen.add(id(info))
    if isinstance(info, msgspec.inspect.CustomType):
        return None if info.cls is object or _is_model(info.cls) else info.cls
    if isinstance(info, msgspec.inspect.Type):
        parts = [getattr(info, name) for name in info.__struct_fields__]
    elif isinstance(info, msgspec.inspect.Field):
        parts = [info.type]
    else:
        parts = list(info) if isinstance(info, (tuple, list)) else []
    return next((found for part in parts if (found := _foreign_class(part, seen)) is not None), None)


def _is_model(cls: Any) -> bool:
    """Return whether it is a pydantic model, recognized by its method, because pydantic is not a dependency."""
    return isinstance(cls, type) and callable(getattr(cls, "model_validate", None))


def _decode_foreign(cls: Any, value: Any) -> Any:
    return value if cls is object else cls.model_validate(value)


def _encode_foreign(value: Any) -> Any:
    """Convert what msgspec does not know: arrays and tensors by `tolist`, pydantic models by `model_dump`."""
    for method in ("tolist", "model_dump"):
        convert = getattr(value, method, None)
        if callable(convert):
            return _converted(convert)
    raise TypeError(
        f"a result holds a {type(value).__module__}.{type(value).__qualname__}, which JSON cannot represent"
    )


def _converted(convert: Callable[[], Any]) -> Any:
    try:
        return convert()
    except SystemExit as error:  # it would end the server's loop
        raise TypeError(f"a result's {convert.__name__}() raised SystemExit") from error


_ENCODER = msgspec.json.Encoder(enc_hook=_encode_foreign)
