"""A pytest plugin: in CI a test may be skipped only for a reason that stands in the list below.

`CI=true` in the environment, or `--skips=listed`, turns it on; `--skips=none` allows no reason at all.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Final, Literal

import pytest

ALLOWED_SKIPS: Final[Mapping[tuple[str, str], str]] = {
    ("tests/chart/*", "no helm*"): "`make test-cluster` builds helm and runs them then",
    ("tests/differential/*", "DILU_TEST_KNATIVE=1*"): "`make test-cluster` runs them: they build Knative with Go",
    ("tests/differential/*", "DILU_TEST_KNATIVE=record*"): "writes a file of the repository",
    ("tests/simulator/test_published_cold_starts.py*", "set TRACES*"): "the traces have no licence to be stored here",
    ("tests/cluster_unit/*", "needs root*"): "nothing is started without root",
}
"""(pattern of the test, pattern of its reason) to why it may be skipped."""

Mode = Literal["any", "listed", "none"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--skips`."""
    parser.addoption(
        "--skips",
        choices=["any", "listed", "none"],
        default="listed" if os.environ.get("CI", "").lower() in ("1", "true") else "any",
        help="which skipped tests do not fail the run; `listed` is the default where CI=true",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Watch the reports, in the process that gets those of all workers."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipWatch(config.getoption("skips")), "skip-watch")


class SkipWatch:
    """Collects the skips that are not allowed, and fails the run if there are any."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.refused: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a skipped test."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self._note(report.nodeid, report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a skipped module."""
        if report.skipped:
            self._note(report.nodeid, report.longrepr)

    def _note(self, test: str, place: object) -> None:
        reason = str(place[2] if isinstance(place, tuple) else place).removeprefix("Skipped: ")
        if not is_allowed(test, reason, self.mode):
            self.refused.append(f"{test}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run."""
        if self.refused and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name them."""
        if self.refused:
            terminalreporter.section(f"skipped, which --skips={self.mode} does not allow")
            for line in dict.fromkeys(self.refused):
                terminalreporter.line(line)


def is_allowed(test: str, reason: str, mode: Mode) -> bool:
    """Whether the run may pass although that test was skipped for that reason."""
    listed = any(fnmatch(test, pattern) and fnmatch(reason, because) for pattern, because in ALLOWED_SKIPS)
    return mode == "any" or (mode == "listed" and listed)
