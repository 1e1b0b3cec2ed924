"""Fixtures for every area."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from replica_process import ServeFunction, serving


@pytest.fixture
def serve_function(tmp_path: Path) -> Iterator[ServeFunction]:
    """Starts replicas from a function's source text: `serve_function(source, wait=True, **environment)`."""
    with serving(tmp_path) as start:
        yield start
