"""The attributes of a CloudEvent and their rules.

An invalid attribute is a `RequestError` (400) with its name in `field`: senders do not repeat such an event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from dilu.errors import RequestError
from dilu.events import SPEC_VERSION, Event

Value = str | int | bool

_REQUIRED = ("specversion", "id", "source", "type")
_TEXTS = ("id", "source", "type", "subject", "dataschema", "datacontenttype")
_KNOWN = frozenset({*_REQUIRED, *_TEXTS, "time"})
_NAME = re.compile(r"[a-z0-9]+")
_RESERVED = ("data",)
# RFC 3986 allows fewer characters, but the others that some senders use do no harm.
_URI = re.compile(r"[^\s\x00-\x1f\x7f<>\"{}|\\^`]+")
_ABSOLUTE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.*")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}\s*(;.*)?", re.DOTALL)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
_INTEGERS = range(-(2**31), 2**31)
JSON = "application/json"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def fault(field: str, message: str, *, status: int = 400, code: str = "invalid-event") -> RequestError:
    """Return the error for an invalid attribute."""
    return RequestError(status, code, f"CloudEvent attribute {field}: {message}", field=field)


def event_of(attributes: Mapping[str, Value]) -> Event:
    """Check the attributes and return the event."""
    for name in _REQUIRED:
        if name not in attributes:
            raise fault(name, "is required")
    version = attributes["specversion"]
    if version != SPEC_VERSION:
        raise fault("specversion", f"{_shown(version)}, must be {SPEC_VERSION!r}")
    texts = {name: _text(name, attributes[name]) for name in _TEXTS if name in attributes}
    _check_forms(texts)
    time = attributes.get("time")
    return Event(
        **texts,
        time=None if time is None else _time(time),
        extensions={name: _extension(name, value) for name, value in attributes.items() if name not in _KNOWN},
    )


def _check_forms(texts: Mapping[str, str]) -> None:
    if not _URI.fullmatch(texts["source"]):
        raise fault("source", f"{_shown(texts['source'])}, must be a URI reference")
    schema = texts.get("dataschema")
    if schema is not None and not (_URI.fullmatch(schema) and _ABSOLUTE_URI.fullmatch(schema)):
        raise fault("dataschema", f"{_shown(schema)}, must be an absolute URI")
    content_type = texts.get("datacontenttype")
    if content_type not in (None, JSON) and not _MEDIA_TYPE.fullmatch(content_type):
        raise fault("datacontenttype", f"{_shown(content_type)}, must be a media type such as application/json")


def _text(name: str, value: Value) -> str:
    if not isinstance(value, str):
        raise fault(name, f"{_shown(value)}, must be a string")
    if not value:
        raise fault(name, "is empty; leave it out instead" if name not in _REQUIRED else "is empty")
    if not value.isprintable() and _CONTROLS.search(value):
        raise fault(name, f"{_shown(value)}, must hold no control characters")
    return value


def _extension(name: str, value: Value) -> Value:
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise fault(_shown(name)[1:-1], "is not an attribute's name: lower-case letters and digits, and not 'data'")
    if isinstance(value, str):
        return value if not value else _text(name, value)
    if isinstance(value, int) and value in _INTEGERS:  # bool is an int
        return value
    raise fault(name, f"{_shown(value)}, must be a string, true, false, or a whole number of 32 bits")


def _time(value: Value) -> datetime:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        date, minutes, seconds, fraction, offset = match.groups()
        if seconds == "60":  # a leap second, which Python's clock does not have
            seconds, fraction = "59", None
        try:
            return datetime.fromisoformat(f"{date}T{minutes}:{seconds}{fraction or ''}{offset.upper()}")
        except ValueError:
            pass
    raise fault("time", f"{_shown(value)}, must be a timestamp of RFC 3339 such as 2026-11-24T09:30:00Z")


def _shown(value: object) -> str:
    """Return the value as an error quotes it, shortened."""
    if isinstance(value, int) and value not in _INTEGERS:
        return "a large number"
    if not isinstance(value, (str, int, float)):
        return f"a value of the type {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
