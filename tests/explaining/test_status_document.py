"""The status document: one form for dilu up and Knative, each with fields of its own."""

from __future__ import annotations

import math

import msgspec

from dilu_autoscaler.explaining.status import VERSION, FunctionStatus, StatusDocument
from dilu_autoscaler.knative.explaining.explain_answers import one_revision
from dilu_autoscaler.knative.explaining.snapshot import RevisionNumbers
from dilu_autoscaler.local.status import GatewayStatus, LocalFunctionStatus, LocalStatus
from explaining.ticks import tick
from knative.explaining.platforms import Platform

KEY = "shop/embed-00001"


def read(document: StatusDocument) -> StatusDocument:
    """The document as a reader of both platforms gets it."""
    return msgspec.json.decode(msgspec.json.encode(document), type=StatusDocument)


def test_a_revision_is_read_like_a_function() -> None:
    platform = Platform(
        revisions=(RevisionNumbers(namespace="shop", revision="embed-00001", policy="dilu", ready=2, desired=3),)
    )
    platform.log.ticked(tick(KEY, now_s=7.0, before=2, decided=3, reason="load", ready=2))
    document = read(one_revision(platform, KEY, "dilu-autoscaler"))
    assert (document.version, document.platform) == (VERSION, "knative")
    [function] = document.functions
    assert (function.name, function.policy, function.ready, function.desired) == (KEY, "dilu", 2, 3)
    assert function.explanation == "2 -> 3 replicas: load"
    [decision] = function.decisions
    assert (decision.before, decision.decided, decision.last_s, decision.last.ready) == (2, 3, 7.0, 2)


def test_a_function_of_dilu_up_is_read_too() -> None:
    function = LocalFunctionStatus(
        name="embed",
        target="app.py",
        abandoned=0,
        replica_seconds=1.5,
        cold_starts=(),
        replicas=({"id": "embed-1", "state": "ready"},),
        explanation="nothing decided yet",
        rps=3.0,
    )
    gateway = GatewayStatus(url="http://127.0.0.1:8080", route="path")
    document = read(LocalStatus(platform="local", at_s=1.0, name="shop", pid=1, gateway=gateway, functions=(function,)))
    assert document.platform == "local"
    assert [(one.name, one.rps, one.learned_rps) for one in document.functions] == [("embed", 3.0, None)]


def test_an_infinite_number_is_written_as_not_known() -> None:
    status = FunctionStatus(name="embed", explanation="", rps=math.inf)
    assert msgspec.json.decode(msgspec.json.encode(status))["rps"] is None
