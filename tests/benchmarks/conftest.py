"""The package `harness` of the benchmarks, without their scripts: `policy.py` would hide the folder `tests/policy`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_HARNESS = Path(__file__).resolve().parents[2] / "benchmarks" / "harness" / "__init__.py"

if "harness" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("harness", _HARNESS)
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules["harness"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["harness"])
