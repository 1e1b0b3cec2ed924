"""The chart as helm renders it, without a cluster."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from testcluster.places import cache_directory

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "charts/dilu"
RELEASE: Final = "dilu"
NAMESPACE: Final = "knative-serving"
MODES: Final = ("replace", "coexist", "observe")

Manifest = dict[str, Any]


def helm_program() -> str:
    """Return the test cluster's helm, or the one on PATH; skip the test where there is neither."""
    built = sorted((cache_directory() / "helm").glob("*/helm"))
    found = str(built[-1]) if built else shutil.which("helm")
    if found is None:
        pytest.skip("no helm: `python -m tools.testcluster build` makes one, or put one on PATH")
    return found


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm."""
    return subprocess.run([helm_program(), *arguments], capture_output=True, text=True, timeout=60, check=False)


@functools.cache
def template(*arguments: str, release: str = RELEASE) -> subprocess.CompletedProcess[str]:
    """Render the chart with some `--set` or `-f`."""
    command = ("template", release, str(CHART), "--namespace", NAMESPACE, "--kube-version", "1.34")
    return helm(*command, *arguments)


def rendered(*arguments: str, release: str = RELEASE) -> list[Manifest]:
    """Return all objects, hooks among them."""
    done = template(*arguments, release=release)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def refusal(*arguments: str) -> str:
    """Return helm's message about values that it rejects."""
    done = template(*arguments)
    assert done.returncode != 0, "helm took them"
    return done.stderr


def mode(name: str) -> str:
    """Return the flag for a mode."""
    return f"--set=autoscaler.mode={name}"


def one(manifests: list[Manifest], kind: str, name: str = "dilu-autoscaler") -> Manifest:
    """Return the object of that kind and name."""
    [found] = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def hooks_of(manifest: Manifest) -> set[str]:
    """Return the events at which helm creates the object; none for an object that always exists."""
    events: str = manifest["metadata"].get("annotations", {}).get("helm.sh/hook", "")
    return set(events.split(",")) - {""}


def pod_specs(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield the specs of all pods, with what creates them."""
    for each in manifests:
        if each["kind"] in ("Deployment", "Job"):
            yield f"{each['kind']}/{each['metadata']['name']}", each["spec"]["template"]["spec"]
        elif each["kind"] == "Pod":
            yield f"Pod/{each['metadata']['name']}", each["spec"]
