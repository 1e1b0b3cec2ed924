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
class Ask:
    """One way to ask a function."""

    function: str
    body: object
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    found: tuple[str | int, ...] = ()  # where in the answer the numbers are

    def payload(self) -> bytes:
        """The body as bytes."""
        return json.dumps(self.body).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How long and how often."""

    seconds: int
    repeats: int


FULL: Final = Sizes(seconds=3, repeats=7)
QUICK: Final = Sizes(seconds=1, repeats=3)
ROUTES: Final[Mapping[str, Ask]] = {
    "plain": Ask(function="echo", body=VECTOR),
    "open inference": Ask(
        function="echo",
        path="/v2/models/echo/infer",
        body={"inputs": [{"name": "input", "shape": [1, len(VECTOR)], "datatype": "FP64", "data": VECTOR}]},
        found=("outputs", 0, "data"),
    ),
    "cloud event, binary": Ask(
        function="echo", body=VECTOR, headers={f"ce-{name}": value for name, value in EVENT.items()}
    ),
    "cloud event, structured": Ask(
        function="echo",
        body={**EVENT, "datacontenttype": "application/json", "data": VECTOR},
        headers={"Content-Type": "application/cloudevents+json"},
        found=("data",),
    ),
    "plain text": Ask(function="embed", body=TEXT),
    "embeddings": Ask(
        function="embed",
        path="/v1/embeddings",
        body={"model": "embed", "input": TEXT, "encoding_format": "float"},
        found=("data", 0, "embedding"),
    ),
    "embeddings, base64": Ask(
        function="embed",
        path="/v1/embeddings",
        body={"model": "embed", "input": TEXT, "encoding_format": "base64"},
        found=("data", 0, "embedding"),
    ),
}
PLAIN: Final = {"echo": "plain", "embed": "plain text"}
# What OpenAI's client asks for unless it is told otherwise.
BASE64_VECTOR: Final = struct.pack(f"<{len(VECTOR)}f", *VECTOR)


@contextlib.contextmanager
def serving() -> Iterator[dict[str, Server]]:
    """A replica of each function."""
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
    """Raises where the answer does not hold the numbers."""
    ask = ROUTES[name]
    lines = "".join(f"{key}: {value}\r\n" for key, value in ask.headers.items())
    request = harness.http_request("POST", ask.path, ask.payload(), lines)
    if "Content-Type" in ask.headers:
        request = request.replace(b"Content-Type: application/json\r\n", b"", 1)
    answer = asyncio.run(harness.ask(server.port, request))
    numbers: Any = json.loads(answer.body)
    with contextlib.suppress(LookupError, TypeError):
        for key in ask.found:
            numbers = numbers[key]
    if isinstance(numbers, str):
        numbers = VECTOR if base64.b64decode(numbers) == BASE64_VECTOR else numbers
    if answer.status != 200 or numbers != VECTOR:
        raise BenchmarkError(f"{name}: {ask.path} gave {answer.status} {answer.body[:200]!r}")


def measure(sizes: Sizes) -> dict[str, Load]:
    """The median load of each route."""
    with serving() as servers:
        for name, ask in ROUTES.items():
            check_answer(servers[ask.function], name)

        def load(name: str) -> Load:
            ask = ROUTES[name]
            url = servers[ask.function].url.rstrip("/") + ask.path
            seen = harness.wrk(
                url, connections=CONNECTIONS, seconds=sizes.seconds, body=ask.payload(), headers=ask.headers
            )
            if seen.errors or seen.not_2xx:
                raise BenchmarkError(f"{name}: {seen.errors:g} requests failed, {seen.not_2xx:g} were refused")
            return seen

        turns = harness.interleaved(tuple(ROUTES), load, sizes.repeats)
    return {name: harness.median_load(loads) for name, loads in turns.items()}


def main() -> None:
    options = harness.arguments(__doc__)
    harness.pin_client()
    sizes = QUICK if options.quick else FULL
    found = measure(sizes)
    rows = []
    for name, ask in ROUTES.items():
        plain = PLAIN[ask.function]
        if name == plain:
            rows.append(harness.row(name, found[name].rps, "rps"))
        else:
            peer_rps = found[plain].rps
            rows.append(harness.row(name, found[name].rps, "rps", peer=plain, peer_value=peer_rps, goal="ratio >= 0.6"))
        harness.say(f"{name}: {found[name].rps:,.0f} requests/s")
    details = {
        "loads": found,
        "payload_bytes": {name: len(ask.payload()) for name, ask in ROUTES.items()},
        "sizes": asdict(sizes),
    }
    harness.write_result(NAME, rows, details=details, quick=options.quick, packages=PACKAGES)


if __name__ == "__main__":
    main()
