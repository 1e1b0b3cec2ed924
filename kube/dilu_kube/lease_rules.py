"""client-go's rules of who may hold a lease, and what is written to it, as functions of what was read and when.

    holder in the record        and                                   then
    this process                                                      renew it (create it again if it was deleted)
    another process             its time is not over                  wait
    another process             its time is over                      take it
    none, or no record                                                take it, or create it

A record's time is its own `leaseDurationSeconds`, counted on our clock from the first read of that version. No rule
depends on its time of day (`renewTime`), so wrong clocks do no harm. Each write carries the record's version, and fails
after any other write.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from dilu.errors import ConfigError
from dilu_kube.objects import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseDurations:
    """The three times of an election. Two holders at once are excluded as long as `lease_s` exceeds `renew_s`."""

    lease_s: int = 15  # other processes take the lease only this long after they saw a renewal
    renew_s: float = 10.0  # the holder trusts a renewal for this time
    retry_s: float = 2.0  # interval of renewals, and of reads by others

    def __post_init__(self) -> None:
        if self.lease_s != int(self.lease_s):
            raise ConfigError(f"lease duration = {self.lease_s} s, must be a whole number of seconds")
        if not self.lease_s > self.renew_s > 1.2 * self.retry_s > 0:
            raise ConfigError(
                f"lease durations = {self.lease_s}/{self.renew_s}/{self.retry_s} s, must fall from lease to renew to "
                "retry, and renew must exceed 1.2 times retry"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A lease as it was last read."""

    lease: Lease | None  # None: it does not exist
    holder: str  # "": none. Of a deleted lease: its last holder
    until_s: float  # when others may take it, on our clock


def see(before: Seen | None, lease: Lease | None, durations: LeaseDurations, now_s: float) -> Seen:
    """Return what is known after a read. Reading the same version again does not extend its time."""
    if lease is None:
        # Deleted, which its holder does not know yet: until its time is over, only the holder creates it again.
        if before is None:
            return Seen(lease=None, holder="", until_s=now_s)
        return Seen(lease=None, holder=before.holder, until_s=before.until_s)
    if before is not None and before.lease is not None and _version(before.lease) == _version(lease):
        return before
    spec = lease.spec
    if not spec.holder_identity:
        return Seen(lease=lease, holder="", until_s=now_s)
    # A record may lack its duration; that does not mean that its holder ended.
    duration_s = spec.lease_duration_seconds or durations.lease_s
    return Seen(lease=lease, holder=spec.holder_identity, until_s=now_s + duration_s)


def _version(lease: Lease) -> str:
    return lease.metadata.resource_version


class Step(StrEnum):
    """What to do with a lease."""

    WATCH = "watch"  # this process never takes one
    WAIT = "wait"
    RENEW = "renew"
    TAKE = "take"
    CREATE = "create"


def decide(seen: Seen, identity: str, *, takes: bool, now_s: float) -> Step:
    """Return what the process `identity` must do with the lease."""
    if not takes:
        return Step.WATCH
    is_ours = seen.holder == identity
    if seen.holder and not is_ours and now_s < seen.until_s:
        return Step.WAIT
    if seen.lease is None:
        return Step.CREATE
    return Step.RENEW if is_ours else Step.TAKE


def spec_to_hold(lease: Lease | None, identity: str, durations: LeaseDurations, *, wall_s: float) -> dict[str, Any]:
    """Return the `spec` by which `identity` holds the lease, given the one that it replaces."""
    before = None if lease is None else lease.spec
    now = micro_time(wall_s, other_than=None if before is None else before.renew_time)
    acquired, transitions = now, 0
    if before is not None and before.holder_identity == identity:
        acquired, transitions = before.acquire_time or now, before.lease_transitions
    elif before is not None:
        transitions = before.lease_transitions + 1
    return _spec(identity, int(durations.lease_s), acquired, now, transitions)


def spec_to_release(lease: Lease, *, wall_s: float) -> dict[str, Any]:
    """Return the `spec` of a released lease, which any process may take at once."""
    now = micro_time(wall_s, other_than=lease.spec.renew_time)
    return _spec("", 1, now, now, lease.spec.lease_transitions)


def _spec(holder: str, duration_s: int, acquired: str, renewed: str, transitions: int) -> dict[str, Any]:
    return {
        "holderIdentity": holder,
        "leaseDurationSeconds": duration_s,
        "acquireTime": acquired,
        "renewTime": renewed,
        "leaseTransitions": transitions,
    }


def micro_time(wall_s: float, *, other_than: str | None = None) -> str:
    """Return a time as leases have it: RFC 3339 with microseconds. Never `other_than`, but a microsecond later.

    A renewal must differ from what it replaces: otherwise the API server keeps the old version, and other processes do
    not see the renewal. A clock that was set back can show the same time twice.

    >>> micro_time(0.25)
    '1970-01-01T00:00:00.250000Z'
    """
    micros = round(wall_s * 1_000_000)
    text = _micros_text(micros)
    return _micros_text(micros + 1) if text == other_than else text


def _micros_text(micros: int) -> str:
    seconds, rest = divmod(micros, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:06d}Z"
