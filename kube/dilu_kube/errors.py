"""What may go wrong between us and the Kubernetes API. Every message names the verb, the path and what the server said.

* KubeError
  * NotFound        404
  * Conflict        409: the object has changed since it was read
    * AlreadyExists 409 of a create
  * Gone            410: this version of the world is forgotten, list again
  * Forbidden       403: a rule of RBAC is missing
  * Refused         any other 4xx or 5xx, or an answer that cannot be read
  * Unreachable     no answer, or not in time: whether a write was done is not known
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from dilu.errors import DiluError

_SHOWN: Final = 300


class KubeError(DiluError):
    """A request to the Kubernetes API did not do what was asked.

    `status` is the HTTP status (0 where there was no answer), `reason` the API's word for programs, `retry_after_s`
    how long the server asks to be left alone.
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


class NotFound(KubeError):  # noqa: N818 - named as the API's reasons are
    """There is no such object, or no such kind."""


class Conflict(KubeError):  # noqa: N818
    """The object has changed since it was read: read it again."""


class AlreadyExists(Conflict):
    """There is an object with this name."""


class Gone(KubeError):  # noqa: N818
    """The server no longer knows (or does not know yet) the version from which to go on: list again."""


class Forbidden(KubeError):  # noqa: N818
    """The service account may not do this."""


class Refused(KubeError):  # noqa: N818
    """Any other answer that is not the one asked for."""


class Unreachable(KubeError):  # noqa: N818
    """No answer, or not in time. Of a write it is not known whether it was done."""


class Cause(msgspec.Struct, frozen=True):
    """One cause in a Status."""

    reason: str = ""


class StatusDetails(msgspec.Struct, frozen=True, rename="camel"):
    """More of a Status, for programs."""

    retry_after_seconds: float = 0.0
    causes: tuple[Cause, ...] = ()


class Status(msgspec.Struct, frozen=True):
    """The API's way to say that it did not do something."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None


_BY_STATUS: Final[Mapping[int, type[KubeError]]] = {403: Forbidden, 404: NotFound, 409: Conflict, 410: Gone}


def read_status(body: bytes) -> Status:
    """The server's Status; where it sent something else (a proxy's page), that as the message."""
    try:
        return msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError:
        return Status(message=" ".join(body[:_SHOWN].decode(errors="replace").split()))


def refusal(verb: str, path: str, status: int, said: Status, *, retry_after_s: float = 0.0) -> KubeError:
    """The exception for an answer that is not a success."""
    details = said.details or StatusDetails()
    if any(cause.reason == "ResourceVersionTooLarge" for cause in details.causes):
        kind: type[KubeError] = Gone  # the store was set back: what we know is newer than what there is
    elif said.reason == "AlreadyExists":
        kind = AlreadyExists
    else:
        kind = _BY_STATUS.get(status, Refused)
    return kind(
        f"{verb} {path}: {status} {said.message or said.reason or '(no message)'}",
        status=status,
        reason=said.reason,
        retry_after_s=max(retry_after_s, details.retry_after_seconds),
    )
