"""The same stream in LitServe."""

from __future__ import annotations

import json
from collections.abc import Iterator

import litserve

from apps import litserve_server


class Count(litserve.LitAPI):  # type: ignore[misc]  # LitServe is not installed where the types are checked
    """0, 1, 2, ... n - 1."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def decode_request(self, request: dict[str, int]) -> int:
        """Return how far to count; LitServe would take a bare number for a query parameter."""
        return request["n"]

    def predict(self, n: int) -> Iterator[int]:
        """Yield the numbers."""
        yield from range(n)

    def encode_response(self, output: Iterator[int]) -> Iterator[str]:
        """Server-sent events."""
        for number in output:
            yield f"data: {json.dumps(number)}\n\n"
        yield "event: done\ndata: {}\n\n"


if __name__ == "__main__":
    litserve_server.run(Count(stream=True))
