"""Fixtures for every area."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from replica_process import ServeFunction, serving

# The same examples in every run, and no time limits: a busy machine must not fail a change that is right. Other
# examples, and as many as one likes: `pytest --hypothesis-profile=search`.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile(
    "search", max_examples=3_000, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("repeatable")

# Who starts the tests with `nohup` or `&` has them ignore these, and all that they start: but some tests send them.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


@pytest.fixture
def serve_function(tmp_path: Path) -> Iterator[ServeFunction]:
    """Starts replicas from a function's source text: `serve_function(source, wait=True, **environment)`."""
    with serving(tmp_path) as start:
        yield start
