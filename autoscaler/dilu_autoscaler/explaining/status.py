"""The status document: the functions of a platform, their replicas and load, and why they have that many replicas.

`dilu up` serves it on its admin socket and the autoscaler on Knative on its explain port, both at `/v1/status`, so that
one reader (`dilu ps`, `dilu explain`, a web page) serves both. A platform may add fields of its own: it derives from
these structs. A reader ignores fields that it does not know. None: the platform cannot know the value.
"""

from __future__ import annotations

from typing import Final

import msgspec

from dilu_autoscaler.explaining.decision_log import Entry

VERSION: Final = 1
"""Changes when a field changes its meaning or is removed, not when one is added."""


class FunctionStatus(msgspec.Struct, kw_only=True):
    """One function, or one revision on Knative."""

    name: str
    """The function's name; on Knative NAMESPACE/REVISION."""
    policy: str | None = None
    min_replicas: int | None = None
    max_replicas: int | None = None
    """None: unbounded."""

    ready: int = 0
    """Replicas that can answer now."""
    starting: int = 0
    """Replicas that were started and are not ready yet."""
    desired: int | None = None
    """Replicas that were decided on. None: nothing was decided yet."""

    rps: float | None = None
    """Requests that arrive per second."""
    in_flight: float | None = None
    """Requests in flight, waiting ones included; an average where the platform averages."""
    waiting: int | None = None
    """Requests that wait for a replica."""
    learned_rps: float | None = None
    """Throughput that one replica has shown."""
    grantable_rps: float | None = None
    """Throughput of one replica at the share that its node could grant now."""

    slo_ms: float | None = None
    slo_attainment: float | None = None
    """Share of the requests since the start that were answered within the objective."""
    requests: int | None = None
    """Requests that ended since the start, errors included."""
    errors: int | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    """Latencies of the last answers."""

    explanation: str
    """One sentence: the newest decision, its reason, and what became of it."""
    decisions: tuple[Entry, ...] = ()
    """The last decisions, oldest first; in a document of all functions only the newest of each."""


class StatusDocument(msgspec.Struct, kw_only=True):
    """All functions of a platform, or those that were asked for."""

    version: int = VERSION
    platform: str
    """`local` or `knative`."""
    at_s: float
    """Unix time at which the document was made."""
    functions: tuple[FunctionStatus, ...] = ()
