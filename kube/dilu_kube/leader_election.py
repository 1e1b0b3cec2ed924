"""Leader election by one Lease: read it, take it, renew it, release it, and know until when it is held."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from dilu_kube.client import MERGE_PATCH, KubeClient
from dilu_kube.errors import Conflict, NotFound
from dilu_kube.lease_rules import (
    LeaseDurations,
    Seen,
    Step,
    decide,
    see,
    spec_to_hold,
    spec_to_release,
)
from dilu_kube.objects import Lease
from dilu_kube.resources import LEASES

_MAX_READS: Final = 3  # in one attempt: another process may write between our read and our write
_decode: Final = msgspec.json.Decoder(Lease).decode


def boot_time_s() -> float:
    """Return seconds on a clock that cannot be set, and that counts while the process or the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LeaderElector:
    """One Lease, as this process last read it and as far as it holds it."""

    def __init__(
        self,
        client: KubeClient,
        name: str,
        *,
        namespace: str,
        identity: str,
        durations: LeaseDurations,
        takes: bool,
        clock_s: Callable[[], float],
        wall_s: Callable[[], float],
    ) -> None:
        self.name = name
        self.term = 0
        """Increases each time that we take the lease, also if no other process had it in between."""
        self.renewals = 0
        self._client = client
        self._namespace = namespace
        self._identity = identity
        self._durations = durations
        self._takes = takes
        self._clock_s = clock_s
        self._wall_s = wall_s
        self._seen: Seen | None = None
        self._is_current = False  # no write failed since we read it
        self._renewed_s = -math.inf  # when the request of the last renewal was sent

    def holds(self) -> bool:
        """Return whether we hold it at this moment."""
        return self._clock_s() - self._renewed_s < self._durations.renew_s

    def left_s(self) -> float:
        """Return for how many seconds we hold it without another renewal."""
        return self._renewed_s + self._durations.renew_s - self._clock_s()

    @property
    def holder(self) -> str:
        """Return the holder's identity, as last read; "" if it has none, or if ours ran out of time."""
        if self.holds():
            return self._identity
        seen = self._seen
        return "" if seen is None or seen.holder == self._identity else seen.holder

    def takeable_in_s(self) -> float | None:
        """Return in how many seconds another holder's time is over; None if no other holder keeps us from taking it."""
        seen = self._seen
        if not self._takes or seen is None or seen.holder in ("", self._identity):
            return None
        return seen.until_s - self._clock_s()

    async def attempt(self) -> None:
        """Read the lease, and take or renew it if the rules allow. Raises `KubeError`."""
        for reads_left in reversed(range(_MAX_READS)):
            seen = self._seen
            # After a time without it, such as a freeze, read first: another process may hold it by now.
            if seen is None or not (self._is_current and self.holds()):
                seen = await self._read()
            step = decide(seen, self._identity, takes=self._takes, now_s=self._clock_s())
            if step in (Step.WATCH, Step.WAIT):
                return
            try:
                await self._hold(seen.lease)
            except (Conflict, NotFound):
                if not reads_left:
                    raise
            else:
                return

    def let_go(self) -> None:
        """Stop holding it, without a write to the cluster."""
        self._renewed_s = -math.inf

    async def release(self) -> None:
        """Stop holding it, and let others take it at once. Raises `KubeError`."""
        self.let_go()
        for reads_left in reversed(range(_MAX_READS)):
            seen = self._seen
            if seen is None or not self._is_current:
                seen = await self._read()
            if seen.lease is None or seen.holder != self._identity:
                return
            try:
                await self._write(seen.lease, spec_to_release(seen.lease, wall_s=self._wall_s()))
            except (Conflict, NotFound):
                if not reads_left:
                    raise
            else:
                return

    async def _read(self) -> Seen:
        try:
            lease = await self._client.get(LEASES, self._namespace, self.name, type=Lease)
        except NotFound:
            lease = None
        seen = self._see(lease)
        if lease is None or seen.holder != self._identity:
            self.let_go()
        return seen

    def _see(self, lease: Lease | None) -> Seen:
        self._seen = see(self._seen, lease, self._durations, self._clock_s())
        self._is_current = True
        return self._seen

    async def _hold(self, lease: Lease | None) -> None:
        sent_s = self._clock_s()
        await self._write(lease, spec_to_hold(lease, self._identity, self._durations, wall_s=self._wall_s()))
        if not self.holds():
            self.term += 1
        self._renewed_s = sent_s
        self.renewals += 1

    async def _write(self, lease: Lease | None, spec: dict[str, Any]) -> None:
        self._is_current = False  # until the answer: without one, the write may or may not have been done
        if lease is None:
            metadata = {"name": self.name, "namespace": self._namespace}
            body = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
            data = await self._client.create(LEASES, self._namespace, body)
        else:
            # The version makes the server refuse the patch after any other write.
            change = {"metadata": {"resourceVersion": lease.metadata.resource_version}, "spec": spec}
            data = await self._client.patch(LEASES, self._namespace, self.name, change, content_type=MERGE_PATCH)
        self._see(_decode(data))
