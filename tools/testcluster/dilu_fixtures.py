"""Fixtures for tests with Dilu in the place of Knative's autoscaler, and for those that need Knative's own.

One of them is in place at a time. Tests are put into an order in which it changes seldom: first those on the cluster
as it comes, then those with ours, then those that install it themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from .cluster import Cluster
from .dilu_install import OURS, Dilu, load_python_images, restore_stock
from .errors import ApiError, ClusterError
from .python_images import PythonImages

REPLICAS: Final = 2
IN_PLACE: Final = ("stock", "ours")


class Placement:
    """Which autoscaler is in place; only this class installs or removes ours while a session runs."""

    def __init__(self, cluster: Cluster) -> None:
        self._dilu = Dilu(cluster)
        self._is_ours: bool | None = None  # not known: a session before this one may have been killed
        self._refusal: ClusterError | None = None

    def ours(self) -> Dilu:
        """Ours, as the chart installs it, with all its replicas and the lease."""
        if self._refusal is not None:  # minutes for each test, and it would not help
            raise self._refusal
        if not (self._is_ours and self._is_well()):
            self.stock()
            self._install()
        return self._dilu

    def _install(self) -> None:
        self._is_ours = None
        try:
            self._dilu.install()
        except ClusterError as error:
            self._refusal = error
            raise
        self._is_ours = True

    def stock(self) -> Dilu:
        """Knative's own. What is returned can install ours."""
        if self._is_ours is not False:
            restore_stock(self._dilu)
            self._is_ours = False
        return self._dilu

    def forget(self) -> None:
        """Note that a test has changed the installation."""
        self._is_ours = None

    def _is_well(self) -> bool:
        try:
            return len(self._dilu.pods()) == REPLICAS and self._dilu.holder().startswith(f"{OURS}-")
        except ApiError:
            return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort tests so that those with the same autoscaler run together."""
    items.sort(key=_group)


def _group(item: pytest.Item) -> int:
    wanted = set(getattr(item, "fixturenames", ()))
    if "stock_in_place" in wanted:
        return 2
    call = getattr(item, "callspec", None)
    has_ours = "dilu" in wanted or (call is not None and call.params.get("in_place") == "ours")
    return 1 if has_ours else 0


@pytest.fixture(scope="session")
def placement(cluster: Cluster) -> Iterator[Placement]:
    """Which autoscaler is in place; in the end it is Knative's."""
    found = Placement(cluster)
    yield found
    found.stock()


@pytest.fixture(scope="session")
def python_images(cluster: Cluster) -> PythonImages:
    """Our images, on the node."""
    return load_python_images(cluster)


@pytest.fixture
def dilu(placement: Placement, python_images: PythonImages) -> Dilu:
    """Ours in mode replace, with two replicas."""
    return placement.ours()


@pytest.fixture
def stock_in_place(placement: Placement, python_images: PythonImages) -> Iterator[Dilu]:
    """Knative's own autoscaler in its place, for a test that installs ours itself; afterwards it is there again."""
    found = placement.stock()
    placement.forget()
    yield found
    placement.stock()


@pytest.fixture(params=IN_PLACE)
def in_place(request: pytest.FixtureRequest, placement: Placement) -> str:
    """Run the test twice: with Knative's autoscaler, and with ours in its place."""
    which: str = request.param
    if which == "ours":
        request.getfixturevalue("dilu")
    else:
        placement.stock()
    return which
