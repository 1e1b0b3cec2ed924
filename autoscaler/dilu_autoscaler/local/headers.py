"""Headers of requests and answers as they leave the gateway: pure, on raw bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dilu.http.answers import new_request_id
from dilu.spec import names

Headers = list[tuple[bytes, bytes]]

# Headers of one connection, not of the request (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# The gateway writes these itself: it has the whole body.
_REQUEST_OWN = HOP_BY_HOP | {b"content-length", b"expect"}
REQUEST_ID = names.HEADER_REQUEST_ID.lower().encode()
REFUSED = names.HEADER_REFUSED.lower().encode()
_ANSWER_OWN = HOP_BY_HOP | {b"date", REQUEST_ID}
_MAX_ID_LENGTH = 128


@dataclass(slots=True)
class RequestHead:
    """What the gateway uses of a request's headers, and the lines for the replica."""

    request_id: str
    host: bytes
    lines: list[bytes]

    def to_bytes(self, method: str, path: bytes, query: bytes, body_size: int) -> bytes:
        """Return the head for the replica."""
        target = path + b"?" + query if query else path
        lines = self.lines
        if body_size or method in ("POST", "PUT", "PATCH"):
            return b"%s %s HTTP/1.1\r\n%scontent-length: %d\r\n\r\n" % (
                method.encode(),
                target,
                b"".join(lines),
                body_size,
            )
        return b"%s %s HTTP/1.1\r\n%s\r\n" % (method.encode(), target, b"".join(lines))


def read_head(headers: Iterable[tuple[bytes, bytes]], client: str, scheme: str) -> RequestHead:
    """Read the headers of a request: its id is kept or made, X-Forwarded-For names the client, Host stays.

    Names are in lower case, as in ASGI. Those with an underscore are left out, as in nginx.
    """
    id_ = call_id = host = forwarded_for = b""
    named: bytes | None = None
    lines: list[bytes] = []
    for name, value in headers:
        if name == b"host":
            host = value
        elif name == REQUEST_ID:
            id_ = value
            continue
        elif name == b"x-call-id":
            call_id = value  # OpenFaaS' name for it
        elif name == b"x-forwarded-for":
            forwarded_for = forwarded_for + b", " + value if forwarded_for else value
            continue
        elif name == b"x-forwarded-proto":
            continue
        elif name in _REQUEST_OWN:
            if name == b"connection" and value.lower() not in (b"keep-alive", b"close"):
                named = value if named is None else named + b"," + value
            continue
        elif b"_" in name:
            continue  # behind WSGI `x_forwarded_for` and `x-forwarded-for` are the same header
        lines.append(b"%s: %s\r\n" % (name, value))
    if named is not None:
        lines = _without_named(lines, named)
    request_id = _usable_id(id_ or call_id) or new_request_id()
    peer = client.encode()
    lines.append(
        b"x-request-id: %s\r\nx-forwarded-for: %s\r\nx-forwarded-proto: %s\r\n"
        % (request_id.encode(), forwarded_for + b", " + peer if forwarded_for else peer, scheme.encode())
    )
    return RequestHead(request_id, host, lines)


def answer_headers(headers: Headers, request_id: str, status: int) -> Headers:
    """Return the replica's headers without those of its connection, and with the request's id."""
    kept: Headers = []
    named: bytes | None = None
    for name, value in headers:
        lower = name.lower()
        if lower == b"connection" and value.lower() not in (b"keep-alive", b"close"):
            named = value if named is None else named + b"," + value
        if lower not in _ANSWER_OWN and not (lower == b"content-length" and status in (204, 304)):
            kept.append((lower, value))
    if named is not None:
        listed = _listed(named)
        kept = [(name, value) for name, value in kept if name not in listed]
    kept.append((REQUEST_ID, request_id.encode()))
    return kept


def header(headers: Headers, wanted: bytes) -> bytes | None:
    """Return the value of a header by its lower-case name, or None."""
    for name, value in headers:
        if len(name) == len(wanted) and name.lower() == wanted:
            return value
    return None


def _usable_id(value: bytes) -> str | None:
    if value and len(value) <= _MAX_ID_LENGTH and value.isascii() and (text := value.decode()).isprintable():
        return text
    return None


def _without_named(lines: list[bytes], named: bytes) -> list[bytes]:
    """Leave out the headers that the Connection header names (never Host)."""
    listed = _listed(named) - {b"host"}
    return [line for line in lines if line.partition(b":")[0] not in listed]


def _listed(value: bytes) -> frozenset[bytes]:
    return frozenset(token.strip().lower() for token in value.split(b","))
