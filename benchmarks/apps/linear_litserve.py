"""The linear model in LitServe; BATCH_TIMEOUT_S is its wait for a fuller batch."""

from __future__ import annotations

import os

import litserve

from apps import linear_kernel, litserve_server


class Linear(litserve.LitAPI):  # type: ignore[misc]  # LitServe is not installed where the types are checked
    """Numbers in, the same numbers out."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def decode_request(self, request: list[float]) -> list[float]:
        """Return the item as it came."""
        return request

    def predict(self, batch: list[list[float]]) -> list[list[float]]:
        """Run one batch."""
        return linear_kernel.run(batch)

    def batch(self, inputs: list[list[float]]) -> list[list[float]]:
        """Return the items as they are: the default would make an array of them."""
        return inputs

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        """Return the answers as they are."""
        return output

    def encode_response(self, output: list[float]) -> list[float]:
        """Return the answer as it is."""
        return output


if __name__ == "__main__":
    wait_s = float(os.environ["BATCH_TIMEOUT_S"])
    litserve_server.run(Linear(max_batch_size=linear_kernel.MAX_BATCH, batch_timeout=wait_s))
