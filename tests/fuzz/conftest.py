"""One replica for all fuzz tests of a module; it must be as good as new when they are over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.fuzzed_functions import SOURCE, check_alive
from replica_process import ReplicaProcess, serving


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaProcess]:
    """A replica of the functions in `fuzzed_functions`."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    with serving(folder) as start:
        replica = start(SOURCE)
        check_alive(replica)
        yield replica
        check_alive(replica)
