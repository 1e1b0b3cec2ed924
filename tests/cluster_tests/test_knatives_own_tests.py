"""Knative's own end-to-end tests of its autoscaler: what stock passes is what we have to pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from testcluster.build import build_knative_tests
from testcluster.cluster import Cluster
from testcluster.knative_tests import AUTOSCALING, prepare, run_test
from testcluster.parts import knative_release


@pytest.fixture(scope="module")
def program(cluster: Cluster) -> Path:
    prepare(cluster)
    return build_knative_tests(knative_release(cluster.record.knative))


@pytest.mark.slow
@pytest.mark.usefixtures("in_place")
@pytest.mark.timeout(1000, func_only=True)
@pytest.mark.parametrize("name", AUTOSCALING)
def test_knatives_own_test_passes(cluster: Cluster, program: Path, name: str) -> None:
    outcome = run_test(cluster, program, name)
    assert outcome.passed, outcome.output
