"""What the commands send to a platform that is up: to its admin socket, and to its gateway."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from dilu.errors import DiluError
from dilu_autoscaler.local.run_directory import RunningPlatform, run_directory, running

_STATUS_TIMEOUT_S = 2.0
_LOGS_TIMEOUT_S = 10.0


class CallFailedError(DiluError):
    """A call of a function got no answer, or only the beginning of one."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: Path, timeout_s: float | None) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def platforms_up(name: str | None = None) -> list[RunningPlatform]:
    """Every platform of this user that is up, or the one of that name. Raises `DiluError` if there is none."""
    found = running(run_directory(os.environ))
    if not found:
        raise DiluError("nothing is up; start something with `dilu up app.py`")
    if name is None:
        return found
    chosen = [one for one in found if one.name == name]
    if not chosen:
        raise DiluError(f"{name} is not up; up are: {', '.join(one.name for one in found)}")
    return chosen


def platform_with(function: str | None, name: str | None) -> tuple[RunningPlatform, dict[str, Any]]:
    """Return the platform that is meant, by its name or by a function that only it has, with its status."""
    answers = read_statuses(platforms_up(name))
    statuses = [(one, status) for one, status in answers if not isinstance(status, DiluError)]
    silent = [status for _, status in answers if isinstance(status, DiluError)]
    if function is not None:
        known = [one["name"] for _, status in statuses for one in status["functions"]]
        statuses = [(one, status) for one, status in statuses if function in _function_names(status)]
        if not statuses and not silent:
            raise DiluError(f"{function}: no such function is up; there are: {', '.join(known)}")
    elif len(answers) > 1:
        raise DiluError(f"several are up ({', '.join(one.name for one, _ in answers)}): choose one with --name")
    if not statuses:
        raise silent[0]
    if len(statuses) > 1:
        raise DiluError(f"several are up ({', '.join(one.name for one, _ in statuses)}): choose one with --name")
    return statuses[0]


def read_statuses(platforms: list[RunningPlatform]) -> list[tuple[RunningPlatform, dict[str, Any] | DiluError]]:
    """Read all statuses at once, so that silent platforms cost one timeout together; theirs are errors."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(platforms)) as threads:
        return list(zip(platforms, threads.map(_status_or_error, platforms), strict=True))


def _status_or_error(platform: RunningPlatform) -> dict[str, Any] | DiluError:
    try:
        return read_status(platform)
    except DiluError as error:
        return error


def read_status(platform: RunningPlatform, function: str | None = None) -> dict[str, Any]:
    """Return a platform's status document, or that of one function with all its last decisions."""
    connection = UnixConnection(platform.socket, _STATUS_TIMEOUT_S)
    try:
        query = "" if function is None else f"?{urlencode({'function': function})}"
        connection.request("GET", f"/v1/status{query}")
        status: dict[str, Any] = json.loads(connection.getresponse().read())
    except TimeoutError:
        reason = f"does not answer within {_STATUS_TIMEOUT_S:g} s"
        raise DiluError(f"{platform.name} (pid {platform.pid}) {reason}; is it stopped?") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DiluError(f"{platform.name} (pid {platform.pid}) does not answer: {_one_line(error)}") from error
    finally:
        connection.close()
    return status


def read_logs(
    platform: RunningPlatform, *, function: str | None, replica: str | None, lines: int, follow: bool
) -> Iterator[str]:
    """Yield the replicas' logs line by line; while following, as long as the platform is up."""
    asked = {"function": function, "replica": replica, "lines": str(lines), "follow": "1" if follow else None}
    query = urlencode({key: value for key, value in asked.items() if value is not None})
    connection = UnixConnection(platform.socket, None if follow else _LOGS_TIMEOUT_S)
    try:
        connection.request("GET", f"/v1/logs?{query}")
        for line in connection.getresponse():
            yield line.decode(errors="replace")
    except (http.client.IncompleteRead, ConnectionError):
        return  # it stopped
    finally:
        connection.close()


class Invocation:
    """One call of a function through the gateway. Raises `CallFailedError` if its answer does not come in full."""

    def __init__(self, url: str, body: bytes, *, timeout_s: float, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        host = parts.hostname or "127.0.0.1"
        # NAME.localhost is this machine, also where no resolver says so.
        address = "127.0.0.1" if host.endswith(".localhost") else host
        self._url = url
        self._timeout_s = timeout_s
        self._connection = http.client.HTTPConnection(address, parts.port, timeout=timeout_s)
        try:
            self._connection.request("POST", parts.path or "/", body, {"Host": parts.netloc, **headers})
            self._answer = self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise self._failed(error, "the answer") from error
        self.status = self._answer.status

    def body(self) -> Iterator[bytes]:
        """Yield the answer's body as it arrives."""
        missing = self._answer.length  # None: it ends with its last chunk or its connection
        try:
            while piece := self._answer.read1(64 * 1024):
                yield piece
                if missing is not None:
                    missing -= len(piece)
            if missing:  # `read1` takes the end of the connection for the end of the answer
                raise http.client.IncompleteRead(b"", missing)
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(error, "the rest of the answer") from error
        finally:
            self._connection.close()

    def _failed(self, error: Exception, awaited: str) -> CallFailedError:
        if isinstance(error, TimeoutError):
            return CallFailedError(f"{self._url}: {awaited} did not come within {self._timeout_s:g} s (--timeout)")
        if isinstance(error, http.client.IncompleteRead):
            return CallFailedError(f"{self._url}: the connection ended in the middle of the answer")
        return CallFailedError(f"{self._url}: {' '.join(_one_line(error).split())}")


def _one_line(error: Exception) -> str:
    """Return the error on one line, also where a broken answer has line breaks."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error).strip() or type(error).__name__
    return text if text.isprintable() else ascii(text)


def _function_names(status: dict[str, Any]) -> list[str]:
    return [function["name"] for function in status["functions"]]
