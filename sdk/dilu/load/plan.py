"""The plan of one run: what it sends, where and when; a value that is checked when it is created."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from dilu.errors import ConfigError
from dilu.load.arrivals import Arrivals
from dilu.load.traces import read_lines
from dilu.spec.names import HEADER_REQUEST_ID

PayloadOrder = Literal["cycle", "random"]
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """One run: the requests to `url` at the times of `arrivals`.

    >>> from dilu.load.arrivals import poisson
    >>> LoadPlan(url="http://127.0.0.1:8080/", arrivals=poisson(50, 10), payloads=(b'"text"',)).verb
    'POST'
    """

    url: str
    arrivals: Arrivals
    seed: int = 0  # the same seed draws the same times and payloads
    method: str | None = None  # None: POST with a payload, GET without
    payloads: tuple[bytes, ...] = ()  # empty: requests without a body
    payload_order: PayloadOrder = "cycle"
    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 30.0  # of one request, from the time it is sent
    max_in_flight: int = 1000
    slo_ms: float | None = None  # None: no objective and no attainment

    def __post_init__(self) -> None:
        target(self.url)
        if self.method is not None and not _TOKEN.fullmatch(self.method):
            raise ConfigError(f"method = {self.method!r}, must be an HTTP method such as POST")
        for name, value in self.headers:
            _check_header(name, value)
        if not 0.0 < self.timeout_s < math.inf:
            raise ConfigError(f"timeout = {self.timeout_s:g}, must be a finite number of seconds above 0")
        if self.max_in_flight < 1:
            raise ConfigError(f"max-in-flight = {self.max_in_flight}, must be 1 or more")
        if self.slo_ms is not None and not 0.0 < self.slo_ms < math.inf:
            raise ConfigError(f"slo-ms = {self.slo_ms:g}, must be a finite number of milliseconds above 0")

    @property
    def verb(self) -> str:
        """The HTTP method."""
        return self.method or ("POST" if self.payloads else "GET")

    def due_times_s(self) -> Iterator[float]:
        """Yield the due time of each request, in seconds from the start."""
        return self.arrivals.times_s(Random(f"arrivals/{self.seed}"))

    def bodies(self) -> Iterator[bytes | None]:
        """Return an endless series of bodies, one for each request."""
        if not self.payloads:
            return cycle((None,))
        if self.payload_order == "cycle":
            return cycle(self.payloads)
        return _drawn(self.payloads, Random(f"payloads/{self.seed}"))


def _drawn(payloads: tuple[bytes, ...], rng: Random) -> Iterator[bytes]:
    while True:
        yield rng.choice(payloads)


def target(url: str) -> SplitResult:
    """Split an http or https URL that names a host. Raise `ConfigError` for any other."""
    try:
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ConfigError(f"URL {url!r}: {error}") from None
    if not named or any(char.isspace() for char in url):
        raise ConfigError(f"URL {url!r}, must be like http://127.0.0.1:8080/embed")
    return parts


def read_payloads(path: str | Path) -> tuple[bytes, ...]:
    """Read a file with one JSON value per line; empty lines are skipped."""
    path = Path(path)
    payloads: list[bytes] = []
    for number, line in enumerate(read_lines(path), 1):
        if text := line.strip():
            check_json(text, f"{path}:{number}")
            payloads.append(text.encode())
    if not payloads:
        raise ConfigError(f"{path}: no values, must have one JSON value per line")
    return tuple(payloads)


def check_json(text: str, where: str) -> None:
    """Raise ConfigError unless `text` is JSON."""
    try:
        json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{where}: not JSON: {error}") from None


def parse_header(text: str) -> tuple[str, str]:
    """Split `Name: value`."""
    name, colon, value = text.partition(":")
    if not colon:
        raise ConfigError(f"header {text!r}, must be 'Name: value'")
    _check_header(name.strip(), value.strip())
    return name.strip(), value.strip()


def _check_header(name: str, value: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise ConfigError(f"header name {name!r}, must be letters, digits and dashes")
    if any((ord(char) < 32 and char != "\t") or ord(char) == 127 for char in value):
        raise ConfigError(f"header {name}: {value!r}, must hold no control characters")
    if name.lower() == HEADER_REQUEST_ID.lower():
        raise ConfigError(f"header {name}: every request gets its own id; leave it out")
