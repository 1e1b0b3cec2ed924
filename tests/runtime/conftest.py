"""Fixtures of the tests of replicas."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replica_process import ReplicaProcess, ServeFunction, serving


@pytest.fixture(scope="module")
def shared_function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeFunction]:
    """Return a module's replica of a source text: `shared_function(source)`.

    For tests that only call it: they neither stop it, nor leave calls running, nor read its totals.
    """
    with serving(tmp_path_factory.mktemp("shared")) as start:
        started: dict[str, ReplicaProcess] = {}

        def shared(source: str) -> ReplicaProcess:
            if source not in started:
                started[source] = start(source)
            return started[source]

        yield shared
