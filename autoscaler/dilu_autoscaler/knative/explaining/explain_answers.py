"""What the autoscaler says about its decisions and leases, as plain values that JSON has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from dilu_autoscaler.knative.buckets.holder_identity import holder_of
from dilu_autoscaler.knative.explaining.decision_log import DecisionLog, Entry
from dilu_autoscaler.knative.explaining.snapshot import BucketNumbers, Numbers

MOST_LISTED: Final = 1000
USUALLY_LISTED: Final = 500
REVISION_KEY: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


class Explained(Protocol):
    """What is told about. All of it is at hand and quick; none waits."""

    def numbers(self) -> Numbers:
        """All numbers, for a scrape."""
        ...

    def decisions(self) -> DecisionLog:
        """The last decisions."""
        ...

    def buckets(self) -> Sequence[BucketNumbers]:
        """Who holds which bucket."""
        ...

    def bucket_of(self, key: str) -> str:
        """A revision's bucket. "": the buckets are not known yet."""
        ...

    def settings(self, key: str) -> Mapping[str, object] | None:
        """What a revision is scaled by, under the names that people know. None: no such revision is known here."""
        ...


class NotAnsweredError(Exception):
    """A question that is answered with an error: its HTTP status, and the answer."""

    def __init__(self, status: int, code: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message}, **more}


def leases(explained: Explained, ours: str) -> dict[str, Any]:
    """Who holds which bucket."""
    return {"buckets": [_bucket_json(bucket, ours) for bucket in explained.buckets()]}


def revisions(explained: Explained, *, limit: str | None, after: str) -> dict[str, Any]:
    """The revisions whose keys come after `after`, at most `limit`, each with its newest decision."""
    most, log = _read_limit(limit), explained.decisions()
    keys = sorted(key for key in log.keys() if key > after)  # noqa: SIM118  # the log is no mapping
    shown = keys[:most]
    return {
        "revisions": [{"revision": key, **_newest_json(log.last(key))} for key in shown],
        "after": shown[-1] if len(keys) > most else None,  # to go on from; None: these are all
    }


def decisions(explained: Explained, key: str, ours: str) -> dict[str, Any]:
    """The last decisions on one revision, with what it is scaled by and who is responsible."""
    if not REVISION_KEY.fullmatch(key):
        raise NotAnsweredError(400, "bad-request", "revision must be NAMESPACE/NAME, as Kubernetes names are")
    settings, entries = explained.settings(key), explained.decisions().entries(key)
    name = explained.bucket_of(key)
    bucket = next((one for one in explained.buckets() if one.bucket == name), BucketNumbers(bucket=name))
    where = {"revision": key, "bucket": _bucket_json(bucket, ours)}
    if settings is None and not entries:
        raise NotAnsweredError(404, "unknown-revision", f"nothing is known of {key} here", **where)
    return {
        **where,
        "settings": None if settings is None else dict(settings),
        "decisions": [entry.to_json() for entry in entries],
    }


def _bucket_json(bucket: BucketNumbers, ours: str) -> dict[str, Any]:
    holder = holder_of(bucket.holder, ours=ours)
    return {
        "name": bucket.bucket,
        "is_held": bucket.is_held,
        "holder": {"pod": holder.pod, "ip": holder.ip, "side": holder.side.value},
        "renewals": bucket.renewals,
        "failures": bucket.failures,
        "taken": bucket.taken,
        "lost": bucket.lost,
    }


def _newest_json(entry: Entry | None) -> dict[str, Any]:
    if entry is None:
        return {}
    outcome = entry.outcome
    return {
        "decided": entry.decided,
        "kind": entry.kind.value,
        "panicking": entry.panicking,
        "last_s": entry.last_s,
        "reason": entry.last.reason,
        "outcome": None if outcome is None else outcome.reason,
    }


def _read_limit(text: str | None) -> int:
    if text is None:
        return USUALLY_LISTED
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= MOST_LISTED:
        raise NotAnsweredError(400, "bad-request", f"limit must be a number from 1 to {MOST_LISTED}")
    return int(text)
