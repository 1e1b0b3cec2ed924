"""The batching contender BentoML, with its adaptive batching: `bentoml serve batching_bentoml:Infer`."""

from __future__ import annotations

import bentoml

from apps.kernel import MAX_BATCH, Kernel


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, traffic={"timeout": 30})
class Infer:
    """64 floats in, their number out, after 5 ms a batch."""

    def __init__(self) -> None:
        self._kernel = Kernel()

    # The types are checked where BentoML is not installed.
    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, route="/infer")  # type: ignore[untyped-decorator]  # see above
    def infer(self, items: list[list[float]]) -> list[int]:
        """Run one batch."""
        return self._kernel.run(items)
