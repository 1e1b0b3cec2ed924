"""Errors of requests to the Kubernetes API. Every message has the verb, the path and the message of the server.

* KubeError
  * NotFound        404
  * Conflict        409: the object was changed since it was read
    * AlreadyExists 409 of a create
  * Gone            410: the server no longer has this resource version, list again
  * Forbidden       403: an RBAC rule is missing
  * Refused         any other 4xx or 5xx, or an answer that cannot be read
  * Unreachable     no answer in time: a write may or may not have been done
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from dilu.errors import DiluError

_SHOWN: Final = 300


class KubeError(DiluError):
    """A request to the Kubernetes API failed.

    `status` is the HTTP status (0: no answer), `reason` the API's code for programs, `retry_after_s` the pause that the
    server requests before the next attempt.
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


class NotFound(KubeError):  # noqa: N818 - named as the API's reasons are
    """The object, or its kind, does not exist."""


class Conflict(KubeError):  # noqa: N818
    """The object was changed since it was read: read it again."""


class AlreadyExists(Conflict):
    """An object with this name exists."""


class Gone(KubeError):  # noqa: N818
    """The server no longer has the resource version to resume from, or does not have it yet: list again."""


class Forbidden(KubeError):  # noqa: N818
    """The service account lacks the permission."""


class Refused(KubeError):  # noqa: N818
    """Any other unexpected answer."""


class Unreachable(KubeError):  # noqa: N818
    """No answer in time. A write may or may not have been done."""


class Cause(msgspec.Struct, frozen=True):
    """One cause in a Status."""

    reason: str = ""


class StatusDetails(msgspec.Struct, frozen=True, rename="camel"):
    """Details of a Status, for programs."""

    retry_after_seconds: float = 0.0
    causes: tuple[Cause, ...] = ()


class Status(msgspec.Struct, frozen=True):
    """The body of the API's failures."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None


_BY_STATUS: Final[Mapping[int, type[KubeError]]] = {403: Forbidden, 404: NotFound, 409: Conflict, 410: Gone}


def read_status(body: bytes) -> Status:
    """Return the Status in a body; for any other body (a proxy's page), a Status with its text as message."""
    try:
        return msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError:
        return Status(message=" ".join(body[:_SHOWN].decode(errors="replace").split()))


def refusal(verb: str, path: str, status: int, answer: Status, *, retry_after_s: float = 0.0) -> KubeError:
    """Return the exception for an answer that is not a success."""
    details = answer.details or StatusDetails()
    if any(cause.reason == "ResourceVersionTooLarge" for cause in details.causes):
        kind: type[KubeError] = Gone  # the store was restored from a backup: our version is newer than its own
    elif answer.reason == "AlreadyExists":
        kind = AlreadyExists
    else:
        kind = _BY_STATUS.get(status, Refused)
    return kind(
        f"{verb} {path}: {status} {answer.message or answer.reason or '(no message)'}",
        status=status,
        reason=answer.reason,
        retry_after_s=max(retry_after_s, details.retry_after_seconds),
    )
