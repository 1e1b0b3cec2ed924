"""Fixtures for every area."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from replica_process import ServeFunction, serving

pytest_plugins = ["skip_list"]

# No time limits in any profile: a busy machine must not fail a change that is right. `repeatable` draws the same
# examples in every run, `fresh` draws new ones, `search` thousands of them: `pytest --hypothesis-profile=search`.
for _name, _options in (
    ("repeatable", {"derandomize": True}),
    ("fresh", {"derandomize": False}),
    ("search", {"derandomize": False, "max_examples": 3_000}),
):
    settings.register_profile(
        _name, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True, **_options
    )
settings.load_profile("repeatable")

# `nohup` and `&` make the tests, and all that they start, ignore these signals; but some tests send them.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Refuse a name with an address in it: each worker would give the test another one, and none would run."""
    if " at 0x" in item.nodeid:
        raise pytest.UsageError(f"{item.nodeid}: give the parameter an id that is the same in every process")


@pytest.fixture
def serve_function(tmp_path: Path) -> Iterator[ServeFunction]:
    """Start replicas from a function's source text: `serve_function(source, wait=True, **environment)`."""
    with serving(tmp_path) as start:
        yield start
