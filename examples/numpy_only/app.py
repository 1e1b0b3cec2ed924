"""Nearest neighbours among 20,000 vectors, exactly, with numpy alone: a function that needs no GPU and no framework.

dilu serve examples/numpy_only/app.py
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

import dilu

VECTORS = 20_000
DIMENSIONS = 64
CLUSTERS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query: which `k` vectors are closest to this one."""

    vector: list[float]
    k: Annotated[int, Meta(ge=1, le=100)] = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """One vector that is close."""

    id: int
    distance: float


def catalogue() -> np.ndarray:
    """Return the vectors to search, drawn in clusters with a fixed seed, so that neighbours mean something."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(CLUSTERS, DIMENSIONS))
    near = centres[random.integers(CLUSTERS, size=VECTORS)]
    vectors: np.ndarray = (near + 0.3 * random.normal(size=(VECTORS, DIMENSIONS))).astype(np.float32)
    return vectors


@dilu.function(slo_ms=100, batch=32, example=Query(vector=[0.0] * DIMENSIONS))
class Nearest:
    """The closest vectors of the catalogue, the closest first."""

    def load(self) -> None:
        """Compute the vectors, and the part of the distance that no query changes."""
        self._vectors = catalogue()
        self._squares = np.einsum("ij,ij->i", self._vectors, self._vectors)

    def predict(self, queries: list[Query]) -> list[list[Neighbour] | dilu.ItemError]:
        """Search for a whole batch with one matrix multiplication."""
        fitting = [query for query in queries if len(query.vector) == DIMENSIONS]
        found = iter(self._search(fitting) if fitting else [])
        return [
            next(found)
            if len(query.vector) == DIMENSIONS
            else dilu.ItemError(f"{len(query.vector)} numbers, must be {DIMENSIONS}", field="$.vector")
            for query in queries
        ]

    def _search(self, queries: list[Query]) -> list[list[Neighbour]]:
        points = np.array([query.vector for query in queries], dtype=np.float32)
        # |q - v|² = |q|² - 2 q·v + |v|²: the middle term is one matrix product for all queries.
        own = np.einsum("ij,ij->i", points, points)[:, None]
        squares = np.maximum(own - 2.0 * points @ self._vectors.T + self._squares, 0.0)
        most = max(query.k for query in queries)
        closest = np.argpartition(squares, most, axis=1)[:, :most]
        return [
            self._neighbours(row[chosen], chosen, query.k)
            for row, chosen, query in zip(squares, closest, queries, strict=True)
        ]

    def _neighbours(self, squares: np.ndarray, ids: np.ndarray, k: int) -> list[Neighbour]:
        order = np.argsort(squares)[:k]
        return [Neighbour(id=int(ids[at]), distance=round(float(np.sqrt(squares[at])), 4)) for at in order]
