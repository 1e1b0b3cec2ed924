"""Fixtures of the local platform's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.platform_process import StartPlatform, platforms


@pytest.fixture
def start_platform() -> Iterator[StartPlatform]:
    """Starts `dilu up` on a function's source text: `start_platform(source, *arguments)`."""
    with platforms() as start:
        yield start
