"""Replicas that the tests of one module share: they only read from them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replica_process import ServeFunction, serving


@pytest.fixture(scope="module")
def serve_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeFunction]:
    """Like `serve_function`, for the whole module."""
    with serving(tmp_path_factory.mktemp("shared")) as start:
        yield start
