"""Which buckets are ours, and whose the others are: each has a lease, which autoscalers, stock's too, take turns at.

A holder must know by itself when it is one no more, whatever keeps it from hearing of it: an outage, a stopped
process, a suspended machine. So `holds` compares the age of the last renewal with a clock at each call. Source: the
Knative contract, §3.6.
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
"""Called with a bucket, whether we hold it, and the identity of who does ("" for nobody)."""

_JITTER_RATIO: Final = 0.2
_TIMER_S: Final = 0.005  # timers may fire a little early
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseReport:
    """One bucket's lease, for metrics and people."""

    bucket: str
    holds: bool
    last_holder: str  # the identity; "" for nobody
    renewals: int  # writes by which we took or kept it
    failures: int  # attempts that failed
    taken: int
    lost: int  # not by closing


class _Kept:
    """A lease, and what was said about it."""

    def __init__(self, lease: LeaderElector) -> None:
        self.lease = lease
        self.told_term = 0  # 0: that we do not hold it
        self.told_holder = ""
        self.failures = self.taken = self.lost = 0
        self.is_failing = False
        self.timer: asyncio.TimerHandle | None = None


class BucketLeases:
    """The leases of all buckets: takes those that are free, and keeps them.

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
            raise ConfigError(f"identity = {identity!r}, must be POD_NAME_POD_IP: others reach the holder by it")
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
        """Whether we hold the bucket at this very moment: its last renewal was sent less than `renew_s` ago."""
        kept = self._kept.get(bucket)
        return kept is not None and kept.lease.holds()

    def holder(self, bucket: str) -> str:
        """The identity of whoever holds the bucket, as of the last look; "" if nobody does."""
        kept = self._kept.get(bucket)
        return "" if kept is None else kept.lease.holder

    def holder_ip(self, bucket: str) -> str | None:
        """The address of whoever holds the bucket; None if nobody does. Never ours when we do not hold it."""
        return holder_ip(self.holder(bucket))

    def on_change(self, handler: Handler) -> None:
        """Call this once with each change, from the loop; before the first, nobody holds anything."""
        self._handlers.append(handler)

    def report(self, bucket: str) -> LeaseReport:
        """What to show about a bucket."""
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
        """Begin to look, to take and to renew."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep(kept)) for kept in self._kept.values()]

    async def close(self, *, release: bool = True) -> None:
        """Hold nothing any more, and let others take what we held at once."""
        self._closing.set()
        tasks, self._tasks = self._tasks, []
        if tasks:
            # A request that is on its way is better waited for: it may take a lease that is then to be released.
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
        """How long one attempt may take: two that hang fit into the time for which a renewal lasts."""
        return self._durations.renew_s / 2

    async def _keep(self, kept: _Kept) -> None:
        loop = asyncio.get_running_loop()
        while not self._closing.is_set():
            self._settle(kept)  # time may have passed without us
            started_s = loop.time()
            await self._attempt(kept)
            self._settle(kept)
            try:
                async with asyncio.timeout_at(self._next_s(kept.lease, started_s, loop.time())):
                    await self._closing.wait()
            except TimeoutError:
                continue

    def _next_s(self, lease: LeaderElector, started_s: float, now_s: float) -> float:
        """The loop's time of the next attempt."""
        regular_s = started_s + self._durations.retry_s * (1 + _JITTER_RATIO * self._jitter())
        takeable_in_s = lease.takeable_in_s()
        if takeable_in_s is None or takeable_in_s <= 0:  # over, and yet not taken: that attempt failed
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
                _log.warning("lease %s: no answer that helps, trying on: %s", name, str(error) or "it took too long")
        except Exception:
            kept.failures += 1
            _log.exception("lease %s: the attempt failed", name)
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
                "lease %s: not released, so others wait %d s for it: %s", lease.name, self._durations.lease_s, error
            )

    def _settle(self, kept: _Kept) -> None:
        """Tell the handlers what has changed since they were told last."""
        lease = kept.lease
        term = lease.term if lease.holds() else 0
        holder = self.identity if term else lease.holder
        if kept.told_term not in (0, term):
            kept.lost += not self._closing.is_set()
            # Held again already, in another term: that it was not for a while is to be known.
            self._tell(kept, False, "" if term else holder)
        if (kept.told_term, kept.told_holder) != (term, holder):
            kept.taken += term != 0
            self._tell(kept, term != 0, holder)
        kept.told_term = term
        self._watch_the_end(kept, is_held=term != 0)

    def _tell(self, kept: _Kept, holds_it: bool, holder: str) -> None:
        kept.told_term, kept.told_holder = 0, holder
        _log.info("lease %s: %s", kept.lease.name, "ours" if holds_it else f"held by {holder or 'nobody'}")
        for handler in self._handlers:
            try:
                handler(kept.lease.name, holds_it, holder)
            except Exception:
                _log.exception("lease %s: a handler failed", kept.lease.name)

    def _watch_the_end(self, kept: _Kept, *, is_held: bool) -> None:
        """A timer for when the lease's time is over, whatever the attempts are waiting for then."""
        if not is_held or self._closing.is_set():
            if kept.timer is not None:
                kept.timer.cancel()
                kept.timer = None
        elif kept.timer is None:
            loop = asyncio.get_running_loop()
            kept.timer = loop.call_later(kept.lease.left_s() + _TIMER_S, self._at_the_end, kept)

    def _at_the_end(self, kept: _Kept) -> None:
        kept.timer = None
        self._settle(kept)
