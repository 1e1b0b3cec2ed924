"""Settings of peers that are the same in all benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from harness.machine import ROOT

BENCHMARKS_PATH: Final[Mapping[str, str]] = {"PYTHONPATH": str(ROOT / "benchmarks")}
# HTTP processes of LitServe. One is its default here; two were a third faster in `sdk_batching`. Each script runs both.
LITSERVE_API_SERVERS: Final = (1, 2)


def litserve_environment(api_servers: int, **more: str) -> dict[str, str]:
    """Return the environment in which a LitServe application runs with this number of HTTP processes."""
    return {**BENCHMARKS_PATH, "API_SERVERS": str(api_servers), **more}
