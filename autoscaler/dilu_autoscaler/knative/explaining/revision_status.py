"""The status document of the autoscaler on Knative: revisions, and who holds their buckets."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dilu_autoscaler.explaining.decision_log import Entry
from dilu_autoscaler.explaining.sentence import sentence
from dilu_autoscaler.explaining.status import FunctionStatus, StatusDocument
from dilu_autoscaler.knative.buckets.holder_identity import holder_of
from dilu_autoscaler.knative.explaining.snapshot import BucketNumbers, RevisionNumbers
from dilu_autoscaler.policy.horizontal.kpa.settings import ScalingMetric


class HolderStatus(msgspec.Struct, kw_only=True):
    """The pod that holds a bucket."""

    pod: str
    ip: str
    side: str


class BucketStatus(msgspec.Struct, kw_only=True):
    """One bucket and its Lease."""

    name: str
    is_held: bool
    """Whether this process holds it."""
    holder: HolderStatus
    renewals: int
    failures: int
    taken: int
    lost: int


class RevisionStatus(FunctionStatus, kw_only=True):
    """One revision."""

    settings: dict[str, object] | None = None
    """What it is scaled by, under the names of its annotations. None: this process does not scale it."""
    bucket: BucketStatus | None = None


class KnativeStatus(StatusDocument, kw_only=True):
    """The revisions on one page."""

    functions: tuple[RevisionStatus, ...] = ()
    after: str | None = None
    """The key after which the next page begins. None: this is the last page."""


def bucket_status(numbers: BucketNumbers, ours: str) -> BucketStatus:
    """Return a bucket's status; `ours` is the name of our Deployment."""
    holder = holder_of(numbers.holder, ours=ours)
    return BucketStatus(
        name=numbers.bucket,
        is_held=numbers.is_held,
        holder=HolderStatus(pod=holder.pod, ip=holder.ip, side=holder.side.value),
        renewals=numbers.renewals,
        failures=numbers.failures,
        taken=numbers.taken,
        lost=numbers.lost,
    )


def revision_status(
    key: str,
    numbers: RevisionNumbers | None,
    settings: Mapping[str, object] | None,
    entries: list[Entry],
    bucket: BucketStatus,
) -> RevisionStatus:
    """Return a revision's status. `numbers` None: this process does not scale it (any more)."""
    status = RevisionStatus(
        name=key,
        explanation=sentence(entries[-1] if entries else None),
        decisions=tuple(entries),
        settings=None if settings is None else dict(settings),
        bucket=bucket,
    )
    if entries:
        status.grantable_rps = entries[-1].last.grantable_rps
    if numbers is not None:
        _fill(status, numbers)
    return status


def _fill(status: RevisionStatus, numbers: RevisionNumbers) -> None:
    status.policy = numbers.policy
    status.min_replicas, status.max_replicas = numbers.min_replicas, numbers.max_replicas
    status.ready, status.starting = numbers.ready, numbers.not_ready + numbers.pending
    status.desired = numbers.desired
    status.rps = numbers.stable if numbers.metric is ScalingMetric.RPS else None
    status.in_flight = numbers.stable if numbers.metric is ScalingMetric.CONCURRENCY else None
    status.waiting = numbers.queue_depth
    status.learned_rps = numbers.learned_rps
