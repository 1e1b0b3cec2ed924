"""The example without a framework: its answers are the exact nearest neighbours."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dilu import RequestError, testing

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "numpy_only" / "app.py"


@pytest.fixture(scope="module")
def nearest() -> Iterator[testing.Client]:
    with testing.client(EXAMPLE, slo_ms=60_000) as client:  # a busy machine is no reason to refuse what is asked here
        yield client


def queries(count: int) -> list[list[float]]:
    random = np.random.default_rng(1)
    found: list[list[float]] = random.normal(size=(count, 64)).round(3).tolist()
    return found


def test_a_vector_of_the_catalogue_is_its_own_nearest_neighbour(nearest: testing.Client) -> None:
    (vector,) = queries(1)
    (close,) = nearest.call({"vector": vector, "k": 1})
    assert nearest.call({"vector": vector})[0] == close, "three neighbours are asked for where k is left out"


def test_queries_of_one_batch_get_what_each_gets_alone(nearest: testing.Client) -> None:
    asked = [{"vector": vector, "k": 1 + index} for index, vector in enumerate(queries(5))]
    alone = [nearest.call(query) for query in asked]
    for one, many in zip(alone, nearest.call_many(asked), strict=True):
        assert [neighbour["id"] for neighbour in one] == [neighbour["id"] for neighbour in many]
        assert [neighbour["distance"] for neighbour in one] == sorted(neighbour["distance"] for neighbour in one)
    assert [len(one) for one in alone] == [1, 2, 3, 4, 5]


def test_they_are_the_ones_that_a_plain_search_finds(nearest: testing.Client) -> None:
    vectors = runpy.run_path(str(EXAMPLE))["catalogue"]()
    for vector in queries(3):
        distances = np.sqrt(((vectors - np.array(vector, dtype=np.float32)) ** 2).sum(axis=1))
        order = np.argsort(distances)[:3]
        found = nearest.call({"vector": vector})
        assert [neighbour["id"] for neighbour in found] == order.tolist()
        assert [neighbour["distance"] for neighbour in found] == pytest.approx(distances[order].tolist(), abs=1e-3)


def test_a_query_of_another_size_fails_alone_and_a_bad_k_never_reaches_the_batch(nearest: testing.Client) -> None:
    (vector,) = queries(1)
    whole, short, greedy = nearest.call_many([{"vector": vector}, {"vector": [1.0]}, {"vector": vector, "k": 0}])
    assert len(whole) == 3
    assert isinstance(short, RequestError)
    assert (short.status, short.field, str(short)) == (422, "$.vector", "1 numbers, must be 64")
    assert isinstance(greedy, RequestError)
    assert (greedy.status, greedy.field) == (422, "$.k")
