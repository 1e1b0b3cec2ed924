"""One short word for each way in which a request can fail without an answer."""

from __future__ import annotations

import errno

_LOCAL_LIMITS = {errno.EMFILE: "open-files", errno.ENFILE: "open-files", errno.EADDRNOTAVAIL: "local-ports"}
_CLOSED = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)


def failure_kind(error: BaseException) -> str:
    """What went wrong.

    | word | meaning |
    |---|---|
    | `refused` | nothing listens there |
    | `dns`, `tls`, `connect` | no connection came about: the name, the handshake, anything else |
    | `disconnected` | the server closed the connection instead of answering |
    | `cut-off` | the answer began and did not come to its end |
    | `bad-answer` | what came back is not HTTP |
    | `timeout` | no full answer in time |
    | `open-files`, `local-ports` | a limit of this machine, not of the server |
    """
    import aiohttp

    if isinstance(error, OSError) and error.errno in _LOCAL_LIMITS:
        return _LOCAL_LIMITS[error.errno]
    by_type: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
        (TimeoutError, "timeout"),
        (aiohttp.ClientConnectorDNSError, "dns"),
        ((aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch), "tls"),
        (aiohttp.ClientConnectorError, "refused" if _refused(error) else "connect"),
        (aiohttp.ServerDisconnectedError, "disconnected"),
        (aiohttp.ClientOSError, "disconnected" if _errno(error) in _CLOSED else "connect"),
        (aiohttp.ClientPayloadError, "cut-off"),
        (aiohttp.ClientResponseError, "bad-answer"),
        (ConnectionError, "disconnected"),
    )
    for types, word in by_type:
        if isinstance(error, types):
            return word
    return type(error).__name__


def _refused(error: BaseException) -> bool:
    """Whether nothing listens; where a name has several addresses, the error has no number but a list of texts."""
    return _errno(error) == errno.ECONNREFUSED or f"[Errno {errno.ECONNREFUSED}]" in str(error)


def _errno(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None
