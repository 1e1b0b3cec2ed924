"""The pytest plugin: one cluster for a session, a namespace for each test, and evidence of each failure.

A folder of tests takes it with `pytest_plugins = ["testcluster.plugin"]` in its conftest.py.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest

from .cluster import Cluster, open_cluster
from .errors import ClusterError
from .evidence import save_evidence
from .lifecycle import down, up
from .parts import DEFAULT_KNATIVE
from .places import ROOT, places_of
from .record import read_record
from .services import new_namespace, remove_namespace

SESSION_NAME: Final = "dilu-pytest"
_TEST_S: Final = 300
_FAILED: Final = pytest.StashKey[bool]()
_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    group = parser.getgroup("cluster")
    group.addoption("--cluster", default=SESSION_NAME, metavar="NAME", help="the cluster's name (%(default)s)")
    group.addoption(
        "--reuse-cluster",
        action="store_true",
        help="use the cluster if it runs already, and leave it running; for work on tests",
    )
    group.addoption("--knative", default=DEFAULT_KNATIVE, metavar="RELEASE", help="Knative's release (%(default)s)")
    group.addoption(
        "--cluster-evidence",
        type=Path,
        default=ROOT / "build/cluster-evidence",
        metavar="DIRECTORY",
        help="where objects, events and logs of failed tests go (%(default)s)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests on the cluster a time limit that excludes the start of the cluster."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_TEST_S, func_only=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a failure for the fixture that saves the evidence, and report where it will be."""
    report = yield
    if report.failed and "namespace" in getattr(item, "fixturenames", ()):
        item.stash[_FAILED] = True
        report.sections.append(("cluster evidence", str(_evidence_directory(item))))
    return report


def _evidence_directory(item: pytest.Item) -> Path:
    root: Path = item.config.getoption("--cluster-evidence")
    return root / re.sub(r"[^\w.-]+", "_", item.nodeid.rpartition("/")[2])


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """Yield the session's cluster, with Knative and Kourier ready."""
    name: str = pytestconfig.getoption("--cluster")
    release: str = pytestconfig.getoption("--knative")
    if os.geteuid() != 0:
        pytest.skip("a cluster needs root")
    reuse: bool = pytestconfig.getoption("--reuse-cluster")
    record = read_record(places_of(name))
    if record is not None and reuse and record.ready:
        if record.knative != release:
            raise ClusterError(f"cluster {name} runs Knative {record.knative}, not {release}: stop it first")
        running = open_cluster(name)
    else:
        running = up(name, release)
    yield running
    running.api.close()
    if not reuse:
        down(name)


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the name of a new namespace, which ends with the test; if the test failed, its content is saved first."""
    item = request.node
    stem = re.sub(r"[^a-z0-9]+", "-", item.name.removeprefix("test_").lower()).strip("-")[:30].strip("-")
    name = f"{stem}-{os.getpid()}-{next(_numbers)}"
    new_namespace(cluster, name)
    yield name
    if item.stash.get(_FAILED, False):
        save_evidence(cluster, name, _evidence_directory(item))
    remove_namespace(cluster, name)
