"""What a protocol's route costs beside the plain route: the same handler, the same numbers, the same client.

    python benchmarks/sdk_protocols.py [--quick]

Two async functions (`apps/protocols_dilu.py`): an echo of 64 floats as the Open Inference Protocol and as CloudEvents
have it, and a text's vector of 64 floats as OpenAI's embeddings. One process on one core, wrk with 16 connections on
the other. The goal is the plain route's rate x 0.6.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import harness
from apps.protocols_dilu import VECTOR
from harness import BenchmarkError, Load, Server

NAME: Final = "sdk_protocols"
PACKAGES: Final = ("dilu", "uvicorn", "httptools", "uvloop", "msgspec")
APP: Final = "benchmarks/apps/protocols_dilu.py"
CONNECTIONS: Final = 16
TEXT: Final = "The meeting about the new library has been moved to Thursday at noon."
EVENT: Final = {"specversion": "1.0", "id": "a-1", "source": "/benchmarks", "type": "dev.dilu.numbers"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One way to call a function."""

    function: str
    body: object
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    found: tuple[str | int, ...] = ()  # where in the answer the numbers are

    def payload(self) -> bytes:
        """Return the body as bytes."""
        return json.dumps(self.body).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How long and how often."""

    warm_up_s: int
    seconds: int
    repeats: int


FULL: Final = Sizes(warm_up_s=3, seconds=3, repeats=7)
QUICK: Final = Sizes(warm_up_s=1, seconds=1, repeats=3)
ROUTES: Final[Mapping[str, Call]] = {
    "plain": Call(function="echo", body=VECTOR),
    "open inference": Call(
        function="echo",
        path="/v2/models/echo/infer",
        body={"inputs": [{"name": "input", "shape": [1, len(VECTOR)], "datatype": "FP64", "data": VECTOR}]},
        found=("outputs", 0, "data"),
    ),
    "cloud event, binary": Call(
        function="echo", body=VECTOR, headers={f"ce-{name}": value for name, value in EVENT.items()}
    ),
    "cloud event, structured": Call(
        function="echo",
        body={**EVENT, "datacontenttype": "application/json", "data": VECTOR},
        headers={"Content-Type": "application/cloudevents+json"},
        found=("data",),
    ),
    "plain text": Call(function="embed", body=TEXT),
    "embeddings": Call(
        function="embed",
        path="/v1/embeddings",
        body={"model": "embed", "input": TEXT, "encoding_format": "float"},
        found=("data", 0, "embedding"),
    ),
    "embeddings, base64": Call(
        function="embed",
        path="/v1/embeddings",
        body={"model": "embed", "input": TEXT, "encoding_format": "base64"},
        found=("data", 0, "embedding"),
    ),
}
PLAIN: Final = {"echo": "plain", "embed": "plain text"}
# The encoding that OpenAI's client requests by default.
BASE64_VECTOR: Final = struct.pack(f"<{len(VECTOR)}f", *VECTOR)


@contextlib.contextmanager
def serving() -> Iterator[dict[str, Server]]:
    """Start a replica of each function."""
    with contextlib.ExitStack() as stack:
        yield {
            function: stack.enter_context(
                harness.serving(
                    function,
                    (sys.executable, "-m", "dilu", "serve", f"{APP}:{function}"),
                    ready="/readyz",
                    env={"DILU_STATS_PORT": "0"},
                )
            )
            for function in PLAIN
        }


def check_answer(server: Server, name: str) -> None:
    """Raise BenchmarkError unless the answer holds the numbers."""
    call = ROUTES[name]
    lines = "".join(f"{key}: {value}\r\n" for key, value in call.headers.items())
    request = harness.http_request("POST", call.path, call.payload(), lines)
    if "Content-Type" in call.headers:
        request = request.replace(b"Content-Type: application/json\r\n", b"", 1)
    answer = asyncio.run(harness.fetch(server.port, request))
    numbers: Any = json.loads(answer.body)
    with contextlib.suppress(LookupError, TypeError):
        for key in call.found:
            numbers = numbers[key]
    if isinstance(numbers, str):
        numbers = VECTOR if base64.b64decode(numbers) == BASE64_VECTOR else numbers
    if answer.status != 200 or numbers != VECTOR:
        raise BenchmarkError(f"{name}: {call.path} gave {answer.status} {answer.body[:200]!r}")


def measure(sizes: Sizes) -> dict[str, list[Load]]:
    """Measure each route, alternately, after the same warm-up."""
    with serving() as servers:
        for name, call in ROUTES.items():
            check_answer(servers[call.function], name)

        def load(name: str, seconds: int = sizes.seconds) -> Load:
            call = ROUTES[name]
            url = servers[call.function].url.rstrip("/") + call.path
            seen = harness.wrk(url, connections=CONNECTIONS, seconds=seconds, body=call.payload(), headers=call.headers)
            if seen.errors or seen.not_2xx:
                raise BenchmarkError(f"{name}: {seen.errors:g} requests failed, {seen.not_2xx:g} were refused")
            return seen

        for name in ROUTES:
            load(name, sizes.warm_up_s)
        return harness.interleaved(tuple(ROUTES), load, sizes.repeats)


def rows(found: Mapping[str, list[Load]]) -> list[dict[str, object]]:
    """Return the rate of each route, beside that of the plain route of the same function."""
    rates = {name: [load.rps for load in loads] for name, loads in found.items()}
    table = []
    for name, call in ROUTES.items():
        plain = PLAIN[call.function]
        if name == plain:
            table.append(harness.row(name, rates[name], "rps"))
        else:
            row = harness.row(name, rates[name], "rps", peer=plain, peer_value=rates[plain], goal="ratio >= 0.6")
            table.append(row)
        harness.progress(f"{name}: {harness.median(rates[name]):,.0f} requests/s")
    return table


def main() -> None:
    options = harness.arguments(__doc__)
    harness.pin_client()
    sizes = QUICK if options.quick else FULL
    found = measure(sizes)
    details = {
        "loads": {name: harness.median_load(loads) for name, loads in found.items()},
        "payload_bytes": {name: len(call.payload()) for name, call in ROUTES.items()},
        "sizes": asdict(sizes),
    }
    harness.write_result(NAME, rows(found), details=details, options=options, packages=PACKAGES)


if __name__ == "__main__":
    main()
