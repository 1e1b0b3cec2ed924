"""The Leases of all buckets, for which Dilu's and Knative's autoscalers compete.

A holder must notice by itself that it lost a lease, also after an outage, a stopped process or a suspended machine.
So `holds` compares the age of the last renewal with a clock at each call. Source: the Knative contract, §3.6.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from dilu.errors import ConfigError
from dilu_autoscaler.knative.buckets.holder_identity import holder_ip
from dilu_kube.client import KubeClient
from dilu_kube.errors import KubeError
from dilu_kube.leader_election import LeaderElector, boot_time_s
from dilu_kube.lease_rules import LeaseDurations

Handler = Callable[[str, bool, str], None]
"""Called with a bucket, whether we hold it, and the holder's identity ("": none)."""

_JITTER_RATIO: Final = 0.2
_TIMER_S: Final = 0.005  # timers may fire a little early
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseReport:
    """One bucket's lease, for metrics and people."""

    bucket: str
    holds: bool
    last_holder: str  # the identity; "": none
    renewals: int  # writes that took or renewed it
    failures: int  # attempts that failed
    taken: int
    lost: int  # without those that `close` released


class _Kept:
    """A lease, and what the handlers were told about it."""

    def __init__(self, lease: LeaderElector) -> None:
        self.lease = lease
        self.told_term = 0  # 0: not held
        self.told_holder = ""
        self.failures = self.taken = self.lost = 0
        self.is_failing = False
        self.timer: asyncio.TimerHandle | None = None


class BucketLeases:
    """Takes the leases of all buckets that are free, and renews them.

    leases = BucketLeases(client, namespace="knative-serving", identity="pod-1_10.0.0.7", buckets=names)
    leases.on_change(lambda bucket, holds_it, holder: ...)
    leases.start()
    if leases.holds(bucket): ...    # before every write
    await leases.close()
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        identity: str,
        buckets: Sequence[str],
        durations: LeaseDurations | None = None,
        takes: bool = True,
        clock_s: Callable[[], float] = boot_time_s,
        wall_s: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if not holder_ip(identity):
            raise ConfigError(f"identity = {identity!r}, must be POD_NAME_POD_IP, by which others reach the holder")
        self.identity = identity
        self.buckets = tuple(buckets)
        self._durations = durations or LeaseDurations()
        self._jitter = jitter
        self._kept = {
            bucket: _Kept(
                LeaderElector(
                    client,
                    bucket,
                    namespace=namespace,
                    identity=identity,
                    durations=self._durations,
                    takes=takes,
                    clock_s=clock_s,
                    wall_s=wall_s,
                )
            )
            for bucket in self.buckets
        }
        self._handlers: list[Handler] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = asyncio.Event()

    def holds(self, bucket: str) -> bool:
        """Return whether we hold the bucket now: its last renewal was sent less than `renew_s` ago."""
        kept = self._kept.get(bucket)
        return kept is not None and kept.lease.holds()

    def holder(self, bucket: str) -> str:
        """Return the identity of the bucket's holder, as last read; "" if it has none."""
        kept = self._kept.get(bucket)
        return "" if kept is None else kept.lease.holder

    def holder_ip(self, bucket: str) -> str | None:
        """Return the address of the bucket's holder; None if it has none. Never ours unless we hold it."""
        return holder_ip(self.holder(bucket))

    def on_change(self, handler: Handler) -> None:
        """Call `handler` once for each change, from the loop. At first no bucket has a holder."""
        self._handlers.append(handler)

    def report(self, bucket: str) -> LeaseReport:
        """Return the state of a bucket for metrics and people."""
        kept = self._kept[bucket]
        return LeaseReport(
            bucket=bucket,
            holds=kept.lease.holds(),
            last_holder=kept.lease.holder,
            renewals=kept.lease.renewals,
            failures=kept.failures,
            taken=kept.taken,
            lost=kept.lost,
        )

    def start(self) -> None:
        """Start to read, take and renew the leases."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep(kept)) for kept in self._kept.values()]

    async def close(self, *, release: bool = True) -> None:
        """Stop holding all buckets, and release them for others."""
        self._closing.set()
        tasks, self._tasks = self._tasks, []
        if tasks:
            # A pending request is waited for: it may take a lease that must be released then.
            _, late = await asyncio.wait(tasks, timeout=self._limit_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        held = [kept for kept in self._kept.values() if kept.lease.holds()]
        for kept in self._kept.values():
            kept.lease.let_go()
            self._settle(kept)
        if release:
            await asyncio.gather(*(self._release(kept.lease) for kept in held))

    @property
    def _limit_s(self) -> float:
        """Return the time limit of one attempt: two that hang fit into the time of one renewal."""
        return self._durations.renew_s / 2

    async def _keep(self, kept: _Kept) -> None:
        loop = asyncio.get_running_loop()
        while not self._closing.is_set():
            self._settle(kept)  # the process may have been suspended
            started_s = loop.time()
            await self._attempt(kept)
            self._settle(kept)
            try:
                async with asyncio.timeout_at(self._next_s(kept.lease, started_s, loop.time())):
                    await self._closing.wait()
            except TimeoutError:
                continue

    def _next_s(self, lease: LeaderElector, started_s: float, now_s: float) -> float:
        """Return the loop's time of the next attempt."""
        regular_s = started_s + self._durations.retry_s * (1 + _JITTER_RATIO * self._jitter())
        takeable_in_s = lease.takeable_in_s()
        if takeable_in_s is None or takeable_in_s <= 0:  # over, but not taken: that attempt failed
            return regular_s
        return min(regular_s, now_s + takeable_in_s + _TIMER_S)

    async def _attempt(self, kept: _Kept) -> None:
        name = kept.lease.name
        try:
            async with asyncio.timeout(self._limit_s):
                await kept.lease.attempt()
        except (KubeError, TimeoutError) as error:
            kept.failures += 1
            if not kept.is_failing:
                kept.is_failing = True
                _log.warning("lease %s: attempt failed, retrying: %s", name, str(error) or "no answer in time")
        except Exception:
            kept.failures += 1
            _log.exception("lease %s: attempt failed", name)
        else:
            if kept.is_failing:
                kept.is_failing = False
                _log.info("lease %s: the API server answers again", name)

    async def _release(self, lease: LeaderElector) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                await lease.release()
        except (KubeError, TimeoutError) as error:
            _log.warning(
                "lease %s: not released, others can take it in %d s: %s", lease.name, self._durations.lease_s, error
            )

    def _settle(self, kept: _Kept) -> None:
        """Call the handlers if something changed since their last call."""
        lease = kept.lease
        term = lease.term if lease.holds() else 0
        holder = self.identity if term else lease.holder
        if kept.told_term not in (0, term):
            kept.lost += not self._closing.is_set()
            # Held again in another term: the handlers must know that it was lost in between.
            self._tell(kept, False, "" if term else holder)
        if (kept.told_term, kept.told_holder) != (term, holder):
            kept.taken += term != 0
            self._tell(kept, term != 0, holder)
        kept.told_term = term
        self._time_expiry(kept, is_held=term != 0)

    def _tell(self, kept: _Kept, holds_it: bool, holder: str) -> None:
        kept.told_term, kept.told_holder = 0, holder
        _log.info("lease %s: %s", kept.lease.name, "ours" if holds_it else f"held by {holder or 'no process'}")
        for handler in self._handlers:
            try:
                handler(kept.lease.name, holds_it, holder)
            except Exception:
                _log.exception("lease %s: a handler failed", kept.lease.name)

    def _time_expiry(self, kept: _Kept, *, is_held: bool) -> None:
        """Set a timer for the end of the lease's time, in case an attempt hangs until then."""
        if not is_held or self._closing.is_set():
            if kept.timer is not None:
                kept.timer.cancel()
                kept.timer = None
        elif kept.timer is None:
            loop = asyncio.get_running_loop()
            kept.timer = loop.call_later(kept.lease.left_s() + _TIMER_S, self._on_expiry, kept)

    def _on_expiry(self, kept: _Kept) -> None:
        kept.timer = None
        self._settle(kept)
