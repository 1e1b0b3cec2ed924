"""Open-loop load: arrivals (pure), the generator and the report, for the command `dilu load`.

>>> from dilu.load import LoadPlan, run_load_sync, summarize
>>> from dilu.load.arrivals import poisson
>>> plan = LoadPlan(url="http://127.0.0.1:8080/", arrivals=poisson(50, 10), payloads=(b'"text"',), slo_ms=60)
>>> summarize(run_load_sync(plan)).slo.attainment_ratio  # doctest: +SKIP
0.998

The names below are imported at their first use, because `dilu --help` imports this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dilu.load.generator import LoadProgress, run_load, run_load_sync
    from dilu.load.plan import LoadPlan
    from dilu.load.report import Summary, summarize
    from dilu.load.results import LoadResult, Record

__all__ = ["LoadPlan", "LoadProgress", "LoadResult", "Record", "Summary", "run_load", "run_load_sync", "summarize"]

_HOMES = {
    "LoadPlan": "plan",
    "LoadResult": "results",
    "LoadProgress": "generator",
    "Record": "results",
    "Summary": "report",
    "run_load": "generator",
    "run_load_sync": "generator",
    "summarize": "report",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
