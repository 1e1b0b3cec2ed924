"""The headers of a request that mean something to the runtime, read in one pass."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from dilu.errors import RequestError
from dilu.spec import names

_MAX_ID_LENGTH = 128
_MAX_DIGITS = 16
_TIMEOUT = names.HEADER_TIMEOUT_MS.lower().encode()
_ENVOY_TIMEOUT = names.HEADER_ENVOY_TIMEOUT_MS.lower().encode()
_PRIORITY = names.HEADER_PRIORITY.lower().encode()
# The first of these that is present names the request.
_IDS = (b"x-request-id", b"x-call-id", b"ce-id")
# Any of them marks a CloudEvent, valid or not.
_EVENT_ATTRIBUTES = frozenset({b"ce-specversion", b"ce-id", b"ce-source", b"ce-type"})
_EVENT_MEDIA = b"application/cloudevents"
_CONTENT_TYPE = b"content-type"
_OTHERS = (_TIMEOUT, _ENVOY_TIMEOUT, _PRIORITY, _CONTENT_TYPE, b"accept", b"traceparent")
_KNOWN = _EVENT_ATTRIBUTES.union(_IDS, _OTHERS)
_URGENCY = re.compile(rb"(?:^|[,\s])u=([0-7])(?=$|[,;\s])")


class CallHeaders:
    """The known headers of a request, each by its lower-case name."""

    __slots__ = ("_found", "_is_ordinary", "request_id", "urgency")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._found: dict[bytes, bytes] = {}
        found = self._found
        for name, value in headers:
            if name in _KNOWN:
                found[name] = value
        # The usual request has only a content type; then nothing else is searched for.
        self._is_ordinary = len(found) == (_CONTENT_TYPE in found)
        if self._is_ordinary:
            self.request_id, self.urgency = None, names.DEFAULT_URGENCY
            return
        self.request_id = _request_id(found)
        priority = found.get(_PRIORITY)
        self.urgency = names.DEFAULT_URGENCY if priority is None else _urgency(priority)

    def __getitem__(self, name: bytes) -> bytes:
        """Return the value of a header that this module knows, empty where it is missing."""
        return self._found.get(name, b"")

    @property
    def is_cloud_event(self) -> bool:
        """Whether the request carries a CloudEvent, in its headers or in its body."""
        kind = self._found.get(_CONTENT_TYPE, b"")
        if kind[: len(_EVENT_MEDIA)].lower() == _EVENT_MEDIA:
            return True
        return not (self._is_ordinary or _EVENT_ATTRIBUTES.isdisjoint(self._found))

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context as it came."""
        value = self._found.get(b"traceparent")
        return None if value is None else value.decode("latin-1")

    def timeout_s(self) -> float | None:
        """Return how long the client waits, or None. Raises `RequestError` (400) unless it is a number above 0."""
        if self._is_ordinary:
            return None
        own, envoy = self._found.get(_TIMEOUT), self._found.get(_ENVOY_TIMEOUT)
        timeout_ms = None if own is None else _milliseconds(own)
        if (
            envoy is not None and len(envoy) < _MAX_DIGITS and envoy.isdigit() and int(envoy) > 0
        ):  # 0: Envoy waits without limit
            timeout_ms = int(envoy) if timeout_ms is None else min(timeout_ms, int(envoy))
        return None if timeout_ms is None else timeout_ms / 1000.0


def _milliseconds(value: bytes) -> float:
    try:
        timeout_ms = float(value)
    except ValueError:
        timeout_ms = math.nan
    if not 0 < timeout_ms < math.inf:
        shown = value[:40].decode("latin-1")
        raise RequestError(
            400,
            "bad-timeout",
            f"{names.HEADER_TIMEOUT_MS}: {shown!r}, must be a number of milliseconds above 0",
            field=names.HEADER_TIMEOUT_MS,
        )
    return timeout_ms


def _urgency(value: bytes) -> int:
    """Read the urgency as RFC 9218 has it: an invalid one counts as absent."""
    match = _URGENCY.search(value)
    return names.DEFAULT_URGENCY if match is None else int(match[1])


def _request_id(found: dict[bytes, bytes]) -> str | None:
    """Return the caller's id if it is printable and short."""
    for name in _IDS:
        value = found.get(name)
        if value and len(value) <= _MAX_ID_LENGTH and value.isascii() and (text := value.decode()).isprintable():
            return text
    return None
