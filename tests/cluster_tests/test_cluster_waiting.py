"""Waiting for objects of the session's cluster: by watch, with an error that says what was last seen."""

from __future__ import annotations

import threading
import time

import pytest

from testcluster.api import Object
from testcluster.cluster import Cluster
from testcluster.errors import ApiError, ClusterError


def settings(name: str, namespace: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def test_an_object_that_comes_later_is_waited_for(cluster: Cluster, namespace: str) -> None:
    def create_later() -> None:
        cluster.api.create(settings("late", namespace, colour="red"))
        cluster.api.patch("v1", "ConfigMap", "late", namespace, {"data": {"colour": "blue"}})
        cluster.api.close()

    creator = threading.Timer(0.3, create_later)
    creator.start()
    seen = cluster.api.wait_for(
        "v1", "ConfigMap", "late", namespace, lambda one: one["data"]["colour"] == "blue", timeout_s=20
    )
    creator.join()
    assert seen["data"] == {"colour": "blue"}


def test_a_deleted_object_is_waited_for(cluster: Cluster, namespace: str) -> None:
    cluster.api.create(settings("short", namespace))
    cluster.api.delete("v1", "ConfigMap", "short", namespace)
    cluster.api.wait_deleted("v1", "ConfigMap", "short", namespace, timeout_s=20)
    cluster.api.delete("v1", "ConfigMap", "short", namespace)
    with pytest.raises(ApiError, match='"short" not found') as failure:
        cluster.api.get("v1", "ConfigMap", "short", namespace)
    assert failure.value.status == 404


def test_what_does_not_come_is_an_error_in_time(cluster: Cluster, namespace: str) -> None:
    cluster.api.create(settings("never", namespace))
    began_s = time.monotonic()
    with pytest.raises(ClusterError, match=r"ConfigMap never: not within 1 s; last seen: .*never"):
        cluster.api.wait_for("v1", "ConfigMap", "never", namespace, lambda one: False, timeout_s=1)
    assert 1 <= time.monotonic() - began_s < 10


def test_a_kind_that_the_server_does_not_have_is_named(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="no kind Cat in v1"):
        cluster.api.items("v1", "Cat")
