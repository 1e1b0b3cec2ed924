"""Who may have a lease, and what is written then: client-go's rules, as functions of what was seen and when.

    the record says             and                                   then
    us                                                                renew it (put it back where it was deleted)
    another                     its time is not over                  wait
    another                     its time is over                      take it
    nobody, or there is none                                          take it, or create it

A record's time is its own `leaseDurationSeconds`, counted on our clock from when we first saw that very record. What
it says of the time of day (`renewTime`) is for people: no rule depends on it, so wrong clocks harm nothing. Each write
carries the record's version, and fails if anybody has written since.
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

    lease_s: int = 15  # others leave a lease alone for so long after they saw it renewed
    renew_s: float = 10.0  # a holder trusts its last renewal for so long
    retry_s: float = 2.0  # a holder renews so often, and others look so often

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
    """A lease as it was at the last look."""

    lease: Lease | None  # None: there is none
    holder: str  # "": nobody. Of a lease that was deleted: who had it
    until_s: float  # our clock's time at which others may take it


def see(before: Seen | None, lease: Lease | None, durations: LeaseDurations, now_s: float) -> Seen:
    """What is known after a look at the lease. A record that was seen before does not get more time by that."""
    if lease is None:
        # Deleted under its holder, who knows nothing of it yet: until its time is over, only the holder puts it back.
        if before is None:
            return Seen(lease=None, holder="", until_s=now_s)
        return Seen(lease=None, holder=before.holder, until_s=before.until_s)
    if before is not None and before.lease is not None and _version(before.lease) == _version(lease):
        return before
    spec = lease.spec
    if not spec.holder_identity:
        return Seen(lease=lease, holder="", until_s=now_s)
    # A record may lack its duration. It is no reason to think that its holder is gone.
    duration_s = spec.lease_duration_seconds or durations.lease_s
    return Seen(lease=lease, holder=spec.holder_identity, until_s=now_s + duration_s)


def _version(lease: Lease) -> str:
    return lease.metadata.resource_version


class Step(StrEnum):
    """What to do about a lease."""

    WATCH = "watch"  # we never take one
    WAIT = "wait"
    RENEW = "renew"
    TAKE = "take"
    CREATE = "create"


def decide(seen: Seen, identity: str, *, takes: bool, now_s: float) -> Step:
    """What `identity` is to do, having seen the lease so."""
    if not takes:
        return Step.WATCH
    is_ours = seen.holder == identity
    if seen.holder and not is_ours and now_s < seen.until_s:
        return Step.WAIT
    if seen.lease is None:
        return Step.CREATE
    return Step.RENEW if is_ours else Step.TAKE


def spec_to_hold(lease: Lease | None, identity: str, durations: LeaseDurations, *, wall_s: float) -> dict[str, Any]:
    """The lease's `spec` by which `identity` has it, from the one that it replaces."""
    before = None if lease is None else lease.spec
    now = micro_time(wall_s, other_than=None if before is None else before.renew_time)
    acquired, transitions = now, 0
    if before is not None and before.holder_identity == identity:
        acquired, transitions = before.acquire_time or now, before.lease_transitions
    elif before is not None:
        transitions = before.lease_transitions + 1
    return _spec(identity, int(durations.lease_s), acquired, now, transitions)


def spec_to_release(lease: Lease, *, wall_s: float) -> dict[str, Any]:
    """The lease's `spec` by which nobody has it; anybody may take it at once."""
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
    """RFC 3339 with microseconds, as leases have it; a microsecond later where that would be `other_than`.

    A renewal must differ from what it replaces, or the API server keeps the old version and nobody sees it. A clock
    that was set back can show the same time twice.

    >>> micro_time(0.25)
    '1970-01-01T00:00:00.250000Z'
    """
    micros = round(wall_s * 1_000_000)
    text = _micros_text(micros)
    return _micros_text(micros + 1) if text == other_than else text


def _micros_text(micros: int) -> str:
    seconds, rest = divmod(micros, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:06d}Z"


def holder_ip(holder: str) -> str | None:
    """The address in a holder's identity, which is everything after the first `_`; None if it has none.

    >>> holder_ip("autoscaler-5c6b_10.0.0.7")
    '10.0.0.7'
    """
    return holder.partition("_")[2] or None
