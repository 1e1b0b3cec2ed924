"""Rows, each with its peer and its goal, and the result file."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from harness.load import Load
from harness.machine import ROOT, machine_facts

RESULTS: Final = ROOT / "benchmarks" / "results"
_COMPARE: Final = {">=": operator.ge, "<=": operator.le, "==": operator.eq}


def row(
    metric: str,
    value: float | None,
    unit: str,
    *,
    peer: str | None = None,
    peer_value: float | None = None,
    goal: str | None = None,
) -> dict[str, object]:
    """One line of a result. `goal` reads "ratio >= 2" or "value <= 100"; without a value it is not met."""
    ratio = value / peer_value if value is not None and peer_value else None
    met = None
    if goal is not None:
        subject, compare, number = goal.split()
        seen = {"value": value, "ratio": ratio}[subject]
        met = seen is not None and bool(_COMPARE[compare](seen, float(number)))
    return {
        "metric": metric,
        "value": _rounded(value),
        "unit": unit,
        "peer": peer,
        "peer_value": _rounded(peer_value),
        "ratio": _rounded(ratio),
        "goal": goal,
        "met": met,
    }


def result_path(name: str, *, quick: bool) -> Path:
    """Where the result lies; a quick look has a file of its own and never replaces published figures."""
    return RESULTS / f"{name}{'.quick' if quick else ''}.json"


def write_result(
    name: str,
    rows: Sequence[Mapping[str, object]],
    *,
    details: Mapping[str, object],
    quick: bool,
    packages: Sequence[str] = (),
) -> None:
    """Writes the result file and prints its rows as one line of JSON, which must be the last line of the script."""
    whole = {"name": name, "quick": quick, "machine": machine_facts(packages), "rows": list(rows), "details": details}
    path = result_path(name, quick=quick)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=1, default=_plain) + "\n")
    print(json.dumps({"name": name, "rows": list(rows)}), flush=True)


def _plain(value: object) -> object:
    if isinstance(value, Load):
        return {key: _rounded(number) for key, number in asdict(value).items()}
    raise TypeError(f"{type(value).__name__} does not go into a result file")


def _rounded(value: float | None) -> float | None:
    """Four significant digits: more would claim what no repeat confirms. NaN and infinity become None."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.4g}")
