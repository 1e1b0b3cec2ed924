"""Answers about decisions and leases, from what the process knows."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from dilu_autoscaler.explaining.decision_log import DecisionLog
from dilu_autoscaler.knative.explaining.revision_status import (
    BucketStatus,
    KnativeStatus,
    RevisionStatus,
    bucket_status,
    revision_status,
)
from dilu_autoscaler.knative.explaining.snapshot import BucketNumbers, Numbers, RevisionNumbers

MAX_LISTED: Final = 1000
DEFAULT_LISTED: Final = 500
REVISION_KEY: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


class Explained(Protocol):
    """The source of all answers. Every method returns at once."""

    def numbers(self) -> Numbers:
        """Return all numbers, for a scrape of the metrics."""
        ...

    def revision(self, key: str) -> RevisionNumbers | None:
        """Return the numbers of one revision. None: this process does not scale it."""
        ...

    def settings(self, key: str) -> Mapping[str, object] | None:
        """Return what a revision is scaled by, under the names of annotations. None: this process does not scale it."""
        ...

    def decisions(self) -> DecisionLog:
        """Return the decision log."""
        ...

    def buckets(self) -> Sequence[BucketNumbers]:
        """Return the numbers of all buckets."""
        ...

    def bucket_of(self, key: str) -> str:
        """Return the name of a revision's bucket. "": the buckets are not known yet."""
        ...


class NotAnsweredError(Exception):
    """A request that gets an error: the HTTP status and the body of the answer."""

    def __init__(self, status: int, code: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message}, **more}


def leases(explained: Explained, ours: str) -> dict[str, list[BucketStatus]]:
    """Return the holders of all buckets."""
    return {"buckets": [bucket_status(bucket, ours) for bucket in explained.buckets()]}


def all_revisions(explained: Explained, ours: str, *, limit: str | None, after: str) -> KnativeStatus:
    """Return the revisions whose keys come after `after`, at most `limit`, each with its newest decision."""
    max_shown, log = _read_limit(limit), explained.decisions()
    keys = sorted(key for key in log.keys() if key > after)  # noqa: SIM118  # the log is no mapping
    shown = keys[:max_shown]
    buckets = {bucket.bucket: bucket_status(bucket, ours) for bucket in explained.buckets()}
    document = _document(tuple(_status_of(explained, key, buckets, ours, newest_only=True) for key in shown))
    document.after = shown[-1] if len(keys) > max_shown else None
    return document


def one_revision(explained: Explained, key: str, ours: str) -> KnativeStatus:
    """Return one revision with all its decisions in the log."""
    if not REVISION_KEY.fullmatch(key):
        raise NotAnsweredError(400, "bad-request", "function must be NAMESPACE/REVISION, as Kubernetes names are")
    buckets = {bucket.bucket: bucket_status(bucket, ours) for bucket in explained.buckets()}
    status = _status_of(explained, key, buckets, ours)
    if status.settings is None and not status.decisions:
        raise NotAnsweredError(
            404, "unknown-revision", f"nothing is known of {key} here", revision=key, bucket=status.bucket
        )
    return _document((status,))


def _document(functions: tuple[RevisionStatus, ...]) -> KnativeStatus:
    return KnativeStatus(platform="knative", at_s=time.time(), functions=functions)


def _status_of(
    explained: Explained, key: str, buckets: Mapping[str, BucketStatus], ours: str, *, newest_only: bool = False
) -> RevisionStatus:
    entries = explained.decisions().entries(key)
    name = explained.bucket_of(key)
    bucket = buckets.get(name) or bucket_status(BucketNumbers(bucket=name), ours)
    shown = entries[-1:] if newest_only else entries
    return revision_status(key, explained.revision(key), explained.settings(key), shown, bucket)


def _read_limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LISTED
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= MAX_LISTED:
        raise NotAnsweredError(400, "bad-request", f"limit must be a number from 1 to {MAX_LISTED}")
    return int(text)
