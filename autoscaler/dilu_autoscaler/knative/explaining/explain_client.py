"""The request of `dilu explain` to an autoscaler: one GET, whose answer is not trusted."""

from __future__ import annotations

import http.client
import json
import re
from typing import Any, Final
from urllib.parse import quote

from dilu.errors import ConfigError, DiluError

ANSWER_WITHIN_S: Final = 5.0
MAX_BYTES: Final = 8 * 1024 * 1024
_ADDRESS: Final = re.compile(
    r"(?:\[(?P<bracketed>[0-9a-fA-F:.%]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?"
    r"|(?P<six>[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F.]*)"
)


class NotReachedError(DiluError):
    """The autoscaler did not answer, or another program did."""


def read_address(text: str, default_port: int) -> tuple[str, int]:
    """Read HOST, HOST:PORT or [IPv6]:PORT.

    >>> read_address("localhost:9090", 1), read_address("[fd00::1]", 9090), read_address("fd00::1", 9090)
    (('localhost', 9090), ('fd00::1', 9090), ('fd00::1', 9090))
    """
    match = _ADDRESS.fullmatch(text)
    port = int((match and match["port"]) or default_port)
    if match is None or not 1 <= port <= 65535:
        raise ConfigError(f"--address {text!a}: must be HOST:PORT, such as localhost:9090 or [fd00::1]:9090")
    return match["bracketed"] or match["six"] or match["host"], port


def read_status(address: tuple[str, int], key: str, *, within_s: float = ANSWER_WITHIN_S) -> dict[str, Any]:
    """Return the status document of one revision, or the error that the autoscaler answered."""
    host, port = address
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    connection = http.client.HTTPConnection(host, port, timeout=within_s)
    try:
        connection.request("GET", f"/v1/status?function={quote(key, safe='')}")
        body = connection.getresponse().read(MAX_BYTES)
    except TimeoutError:
        raise NotReachedError(f"{where} does not answer within {within_s:g} s") from None
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise NotReachedError(f"{where} does not answer: {_one_line(error)}") from error
    finally:
        connection.close()
    return _read(where, body)


def _read(where: str, body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        functions, error = answer.get("functions"), answer.get("error")
        if isinstance(functions, list) and len(functions) == 1 and isinstance(functions[0], dict):
            return answer
        if isinstance(error, dict) and "code" in error:
            return answer
    raise NotReachedError(f"{where} answers, but it is not an autoscaler of Dilu of this version")


def _one_line(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error).strip() or type(error).__name__
    text = " ".join(text.split())
    return text if text.isprintable() else ascii(text)
