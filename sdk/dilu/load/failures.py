"""The kinds of failures of requests without a complete answer."""

from __future__ import annotations

import errno

_LOCAL_LIMITS = {errno.EMFILE: "open-files", errno.ENFILE: "open-files", errno.EADDRNOTAVAIL: "local-ports"}
_CLOSED = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)


def failure_kind(error: BaseException) -> str:
    """Return a short word for a failure.

    | word | meaning |
    |---|---|
    | `refused` | nothing listens there |
    | `dns`, `tls`, `connect` | no connection: the name, the handshake, another reason |
    | `disconnected` | the server closed the connection instead of answering |
    | `cut-off` | the answer began and was not completed |
    | `bad-answer` | the answer is not HTTP |
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
    """Return whether nothing listens; for a name with several addresses the error has texts and no number."""
    return _errno(error) == errno.ECONNREFUSED or f"[Errno {errno.ECONNREFUSED}]" in str(error)


def _errno(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None
