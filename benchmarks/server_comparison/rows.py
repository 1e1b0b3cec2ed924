"""The rows of the result: the chosen server beside the others, with the knock-outs of the choice as goals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import harness
from server_comparison.candidates import CANDIDATES, CHOSEN, RUNNER_UP, Found
from server_comparison.drains import lost
from server_comparison.sizes import Sizes


def rows(found: Mapping[str, Found], sizes: Sizes) -> list[dict[str, object]]:
    """Return the speed beside the best of the others, everything else beside the runner-up."""

    def beside(metric: str, unit: str, value_of: Callable[[Found], Any], goal: str | None = None) -> dict[str, object]:
        mine, theirs = value_of(found[CHOSEN]), value_of(found[RUNNER_UP])
        return harness.row(metric, mine, unit, peer=RUNNER_UP, peer_value=theirs, goal=goal)

    none, many = "value == 0", f"value >= {sizes.streams}"
    return [
        *(_load_row(found, what, "rps", "rps", max) for what in sizes.loads),
        _load_row(found, "echo c=1", "p50_us", "us", min),
        _load_row(found, "echo c=16", "p99_us", "us", min),
        beside("requests lost on SIGTERM", "requests", lambda seen: lost(seen["drain ours"]), none),
        beside("handler learns of a disconnected client", "ms", lambda seen: seen["disconnect_ms"], "value <= 1000"),
        beside("probes lost beside predict", "probes", lambda seen: seen["probes beside 256"]["probes_lost"], none),
        beside("open streams held", "streams", lambda seen: seen["streams"]["held"], many),
        beside("probes lost beside streams", "probes", lambda seen: seen["streams"].get("probes_lost"), none),
        beside("memory for deaf clients", "MiB", _deaf_mib, "value <= 20"),
        beside("memory after the load", "MiB", lambda seen: seen["memory_mib"]),
    ]


def _deaf_mib(found: Found) -> float | None:
    grown_mib: float | None = found["streams"].get("never_read", {}).get("grown_mib")
    return grown_mib


def _load_row(found: Mapping[str, Found], what: str, key: str, unit: str, best: Any) -> dict[str, object]:
    seen = {name: getattr(found[name][what], key) for name in CANDIDATES}
    peer = best((name for name in CANDIDATES if name != CHOSEN), key=lambda name: seen[name])
    label = what if key == "rps" else f"{what} {key.removesuffix('_us')}"
    return harness.row(label, seen[CHOSEN], unit, peer=peer, peer_value=seen[peer])
