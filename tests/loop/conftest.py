"""The fixture of the loop's tests."""

from __future__ import annotations

import pytest

from loop.scripted_world import World


@pytest.fixture
def world() -> World:
    """A world in memory: it is 1000.0 s, no replica runs and no client calls."""
    return World()
