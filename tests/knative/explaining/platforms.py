"""An autoscaler's side of what is explained, for the tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dilu_autoscaler.explaining.decision_log import DecisionLog
from dilu_autoscaler.knative.explaining.snapshot import BucketNumbers, Numbers, RevisionNumbers

BUCKET = "autoscaler-bucket-00-of-01"
OURS = "dilu-autoscaler-7d9c-x2v_10.0.0.7"


@dataclass(slots=True, kw_only=True)
class Platform:
    """Says what it is told to say."""

    log: DecisionLog = field(default_factory=DecisionLog)
    known: dict[str, dict[str, object]] = field(default_factory=dict)
    revisions: tuple[RevisionNumbers, ...] = ()
    holder: str = OURS
    scrapes: int = 0

    def numbers(self) -> Numbers:
        self.scrapes += 1
        return Numbers(buckets=tuple(self.buckets()), revisions=self.revisions)

    def decisions(self) -> DecisionLog:
        return self.log

    def buckets(self) -> list[BucketNumbers]:
        return [BucketNumbers(bucket=BUCKET, holder=self.holder, is_held=self.holder == OURS)]

    def bucket_of(self, key: str) -> str:
        return BUCKET

    def revision(self, key: str) -> RevisionNumbers | None:
        return next((one for one in self.revisions if f"{one.namespace}/{one.revision}" == key), None)

    def settings(self, key: str) -> Mapping[str, object] | None:
        return self.known.get(key)
