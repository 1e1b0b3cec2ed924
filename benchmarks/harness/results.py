"""The result file: where it lies, and what stands in it beside the rows."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from harness.load import Load
from harness.machine import ROOT, machine_facts
from harness.rows import rounded
from harness.start import MAX_LOAD_AT_START, Start

RESULTS: Final = ROOT / "benchmarks" / "results"


def result_path(name: str, *, quick: bool, at_rest: bool = True, folder: Path = RESULTS) -> Path:
    """Return where the result lies: published figures are replaced only by a full run on a machine at rest."""
    kind = ".quick" if quick else "" if at_rest else ".busy"
    return folder / f"{name}{kind}.json"


def write_result(
    name: str,
    rows: Sequence[Mapping[str, object]],
    *,
    details: Mapping[str, object],
    options: argparse.Namespace,
    packages: Sequence[str] = (),
    folder: Path = RESULTS,
) -> None:
    """Write the result file and print its rows as one line of JSON, which must be the last line of the script."""
    start: Start = options.start
    whole = {
        "name": name,
        "quick": options.quick,
        "at_rest": start.at_rest,
        "commit": start.commit,
        "dirty": start.dirty,
        "machine": {
            **machine_facts(packages),
            "load_average_at_start": start.load_average,
            "max_load_average_at_start": MAX_LOAD_AT_START,
        },
        "rows": list(rows),
        "details": details,
    }
    path = result_path(name, quick=options.quick, at_rest=start.at_rest, folder=folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=1, default=_plain) + "\n")
    print(json.dumps({"name": name, "rows": list(rows)}), flush=True)


def _plain(value: object) -> object:
    if isinstance(value, Load):
        return {key: rounded(number) for key, number in asdict(value).items()}
    raise TypeError(f"{type(value).__name__} does not go into a result file")
