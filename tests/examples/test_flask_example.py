"""The Flask example: the application is unchanged, and the function is beside it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dilu import testing

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "flask_app" / "app.py"


@pytest.fixture(scope="module")
def shop() -> Iterator[testing.Client]:
    with testing.client(EXAMPLE, slo_ms=60_000) as client:  # a busy machine is no reason to refuse what is asked here
        yield client


def test_the_function_answers(shop: testing.Client) -> None:
    assert shop.call("Thanks, a great lamp.") == 2
    assert shop.call_many(["bad and late", "a lamp"]) == [-2, 0]
    assert shop.post(3).status == 422


def test_the_blueprint_answers_and_its_hooks_run(shop: testing.Client) -> None:
    answer = shop.get("/orders/1", headers={"X-Customer": "Ada"})
    assert (answer.status, answer.json()) == (200, {"id": 1, "item": "lamp"})
    assert answer.headers["x-served-for"] == "Ada"


def test_its_own_error_pages_stay(shop: testing.Client) -> None:
    answer = shop.get("/orders/9")
    assert (answer.status, answer.json()) == (404, {"problem": "no such order"})
    assert answer.headers["x-served-for"] == "unknown"


def test_hooks_do_not_run_for_the_function(shop: testing.Client) -> None:
    assert "x-served-for" not in shop.post("nice").headers


MOUNTED = """
from mounted import app
client = app.test_client()
answer = client.post("/mood", json="thanks, a great lamp", headers={"X-Customer": "Ada"})
print(answer.status_code, answer.json, answer.headers["X-Served-For"])
print(client.post("/mood", json=3).status_code, client.get("/orders/1").json["item"])
"""


def test_mounted_as_a_route_it_answers_and_the_hooks_run() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MOUNTED], cwd=EXAMPLE.parent, check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["200 2 Ada", "422 lamp"]
