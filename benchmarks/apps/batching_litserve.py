"""The batching contender LitServe; BATCH_TIMEOUT_S is its wait for a fuller batch."""

from __future__ import annotations

import os

import litserve

from apps import litserve_server
from apps.kernel import MAX_BATCH, Kernel


class Infer(litserve.LitAPI):  # type: ignore[misc]  # LitServe is not installed where the types are checked
    """64 floats in, their number out, after 5 ms a batch."""

    def setup(self, device: str) -> None:
        """Open the counts."""
        self._kernel = Kernel()

    def decode_request(self, request: list[float]) -> list[float]:
        """Return the item as it came."""
        return request

    def predict(self, batch: list[list[float]]) -> list[int]:
        """Run one batch."""
        return self._kernel.run(batch)

    def batch(self, inputs: list[list[float]]) -> list[list[float]]:
        """Return the items as they are: the default would make an array of them."""
        return inputs

    def unbatch(self, output: list[int]) -> list[int]:
        """Return the answers as they are."""
        return output

    def encode_response(self, output: int) -> int:
        """Return the answer as it is."""
        return output


if __name__ == "__main__":
    litserve_server.run(Infer(max_batch_size=MAX_BATCH, batch_timeout=float(os.environ["BATCH_TIMEOUT_S"])))
