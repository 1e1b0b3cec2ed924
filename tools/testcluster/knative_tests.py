"""Knative's own end-to-end tests, run against a cluster."""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from .cluster import Cluster
from .gobuild import module_directory
from .network import NODE_IP
from .parts import knative_release

AUTOSCALING: Final = ("TestAutoscaleUpDownUp", "TestTargetBurstCapacity", "TestFastScaleToZero")
_LIMIT_S: Final = 900.0
_FLAGS: Final = (
    "-test.v",
    f"-test.timeout={_LIMIT_S:.0f}s",
    f"-ingressendpoint={NODE_IP}",
    "-customdomain=example.com",
    "-tag=v1",
    "-disable-logstream",
    "-ingress-class=kourier.ingress.networking.knative.dev",
)
_SETTINGS: Final = {
    "KO_DOCKER_REPO": "dev.local",
    "SYSTEM_NAMESPACE": "knative-serving",
    "GATEWAY_OVERRIDE": "kourier",
    "GATEWAY_NAMESPACE_OVERRIDE": "kourier-system",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one of Knative's tests said."""

    name: str
    verdict: str  # PASS, FAIL or SKIP
    took_s: float
    output: str

    @property
    def passed(self) -> bool:
        """Whether it ran and passed."""
        return self.verdict == "PASS"


def prepare(cluster: Cluster) -> None:
    """Create the namespaces and objects that the tests expect."""
    serving = module_directory(knative_release(cluster.record.knative).tests, "knative.dev/serving")
    for file in ("cluster-resources.yaml", "test-resources.yaml"):
        for manifest in yaml.safe_load_all((serving / "test/config" / file).read_text()):
            if manifest:
                cluster.api.apply(manifest)


def run_test(cluster: Cluster, program: Path, name: str) -> Outcome:
    """Run the test with this name; `program` is what `build_knative_tests` has built."""
    command = cluster.command(
        [str(program), f"-test.run=^{name}$", f"-kubeconfig={cluster.places.kubeconfig}", *_FLAGS]
    )
    environment = {**os.environ, **cluster.environment(), **_SETTINGS}
    began_s = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_LIMIT_S + 60, check=False)
    took_s = time.monotonic() - began_s
    output = done.stdout + done.stderr
    verdicts = re.findall(rf"^--- (PASS|FAIL|SKIP): {name} ", output, re.MULTILINE)
    verdict = verdicts[-1] if verdicts and (done.returncode == 0) == (verdicts[-1] != "FAIL") else "FAIL"
    return Outcome(name=name, verdict=verdict, took_s=took_s, output=output)
