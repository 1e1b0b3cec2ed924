"""A function that opted in to co-scaling, made as people make one: on the slim base, by kn with its own annotations."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from testcluster.cluster import Cluster
from testcluster.dilu_install import Dilu
from testcluster.places import PACKAGE
from testcluster.python_images import EXAMPLE_IMAGE
from testcluster.services import SERVING, WINDOW, pods_of, wait_for_pods, wait_for_zero

APP = PACKAGE / "example_function/app.py"
SHELL = 'exec kn service create example --image "$1" --namespace "$2" $3 $("$4" -m dilu annotations "$5")'
RPS_LIMIT = 5.0
PRESSED_RPS = 10.0  # less than one replica takes for two of them


def create_example(cluster: Cluster, namespace: str, annotations: Mapping[str, str]) -> str:
    """The function's URL."""
    flags = " ".join(f"--annotation {key}={value}" for key, value in {WINDOW: "6s", **annotations}.items())
    cluster.run("sh", "-c", SHELL, "sh", EXAMPLE_IMAGE, namespace, flags, sys.executable, str(APP))
    url: str = cluster.api.get(SERVING, "Service", "example", namespace)["status"]["url"]
    return url


def ask(cluster: Cluster, url: str) -> tuple[int, Any]:
    answer = cluster.http(url, method="POST", body=b'"dilu"', headers={"Content-Type": "application/json"})
    return answer.status, json.loads(answer.body)


@contextmanager
def pressed(cluster: Cluster, url: str, rps: float) -> Iterator[list[int]]:
    """The statuses of a number of requests a second, while the block runs."""
    statuses: list[int] = []
    is_over = threading.Event()
    with ThreadPoolExecutor(8) as pool:

        def press() -> None:
            while not is_over.wait(1.0 / rps):
                pool.submit(lambda: statuses.append(ask(cluster, url)[0]))

        pressing = threading.Thread(target=press)
        pressing.start()
        try:
            yield statuses
        finally:
            is_over.set()
            pressing.join()


def explained(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """What `dilu explain` says of it."""
    service = cluster.api.get(SERVING, "Service", "example", namespace)
    revision = f"{namespace}/{service['status']['latestReadyRevisionName']}"
    said = cluster.run(sys.executable, "-m", "dilu", "explain", revision, "-o", "json").stdout
    found: dict[str, Any] = json.loads(said)["functions"][0]
    return found


def learned_rps(answer: Mapping[str, Any]) -> list[float]:
    """What its pods were found to take, as far as decisions saw it."""
    return [one["last"]["learned_rps"] for one in answer["decisions"] if one["last"]["learned_rps"]]


def test_a_function_is_co_scaled_once_its_pods_have_told_what_they_take(
    cluster: Cluster, namespace: str, dilu: Dilu
) -> None:
    url = create_example(cluster, namespace, {})
    deadline_s = time.monotonic() + 60.0
    answer = explained(cluster, namespace)
    while not learned_rps(answer):
        assert time.monotonic() < deadline_s, answer
        assert ask(cluster, url) == (200, "DILU")
        answer = explained(cluster, namespace)
    assert answer["settings"]["policy"] == "dilu"
    assert all(rps > RPS_LIMIT for rps in learned_rps(answer))


@pytest.mark.slow
def test_a_function_goes_from_zero_out_under_load_and_back_to_zero(
    cluster: Cluster, namespace: str, dilu: Dilu
) -> None:
    url = create_example(cluster, namespace, {"dilu.dev/rps-limit": f"{RPS_LIMIT:g}"})
    wait_for_zero(cluster, namespace, "example")
    assert ask(cluster, url) == (200, "DILU")
    assert len(pods_of(cluster, namespace, "example")) == 1
    with pressed(cluster, url, PRESSED_RPS) as statuses:
        wait_for_pods(cluster, namespace, "example", at_least=2, timeout_s=90.0)
    assert set(statuses) == {200}
    answer = explained(cluster, namespace)
    assert answer["settings"]["policy"] == "dilu"
    assert learned_rps(answer)
    reasons = [one["first"]["reason"] for one in answer["decisions"]]
    assert any(reason.startswith("out: ") for reason in reasons), reasons
    wait_for_zero(cluster, namespace, "example", timeout_s=180.0)
