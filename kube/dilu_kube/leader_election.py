"""One bucket's lease in the cluster: look at it, take it, renew it, release it; and know for how long it is held."""

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

_LOOKS: Final = 3  # in one attempt: somebody else may write between our look and our write
_decode: Final = msgspec.json.Decoder(Lease).decode


def boot_time_s() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the process is stopped or the machine suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LeaderElector:
    """One lease, as this process sees it and holds it."""

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
        """Counts up with each time that the lease becomes ours, also where nobody else had it in between."""
        self.renewals = 0
        self._client = client
        self._namespace = namespace
        self._identity = identity
        self._durations = durations
        self._takes = takes
        self._clock_s = clock_s
        self._wall_s = wall_s
        self._seen: Seen | None = None
        self._is_current = False  # no write has failed since we saw it
        self._renewed_s = -math.inf  # when the request was sent by which we hold it

    def holds(self) -> bool:
        """Whether it is ours, at this very moment."""
        return self._clock_s() - self._renewed_s < self._durations.renew_s

    def left_s(self) -> float:
        """For how long it stays ours without another renewal."""
        return self._renewed_s + self._durations.renew_s - self._clock_s()

    @property
    def holder(self) -> str:
        """Who has it, as of the last look; "" for nobody, and where we had it and let its time run out."""
        if self.holds():
            return self._identity
        seen = self._seen
        return "" if seen is None or seen.holder == self._identity else seen.holder

    def takeable_in_s(self) -> float | None:
        """When another's time will be over; None where that says nothing about what we do next."""
        seen = self._seen
        if not self._takes or seen is None or seen.holder in ("", self._identity):
            return None
        return seen.until_s - self._clock_s()

    async def attempt(self) -> None:
        """Look, and take or renew it where that is ours to do. Raises `KubeError`."""
        for looks_left in reversed(range(_LOOKS)):
            seen = self._seen
            # After a time without it, such as a freeze, look first: it may be another's by now.
            if seen is None or not (self._is_current and self.holds()):
                seen = await self._look()
            step = decide(seen, self._identity, takes=self._takes, now_s=self._clock_s())
            if step in (Step.WATCH, Step.WAIT):
                return
            try:
                await self._hold(seen.lease)
            except (Conflict, NotFound):
                if not looks_left:
                    raise
            else:
                return

    def let_go(self) -> None:
        """Hold it no more, whatever the cluster says."""
        self._renewed_s = -math.inf

    async def release(self) -> None:
        """Let go of it, and let others take it at once. Raises `KubeError`."""
        self.let_go()
        for looks_left in reversed(range(_LOOKS)):
            seen = self._seen
            if seen is None or not self._is_current:
                seen = await self._look()
            if seen.lease is None or seen.holder != self._identity:
                return
            try:
                await self._write(seen.lease, spec_to_release(seen.lease, wall_s=self._wall_s()))
            except (Conflict, NotFound):
                if not looks_left:
                    raise
            else:
                return

    async def _look(self) -> Seen:
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
        self._is_current = False  # until an answer comes: without one, nobody knows whether it was written
        if lease is None:
            metadata = {"name": self.name, "namespace": self._namespace}
            body = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
            data = await self._client.create(LEASES, self._namespace, body)
        else:
            # The version makes the server refuse the patch if anybody has written since.
            change = {"metadata": {"resourceVersion": lease.metadata.resource_version}, "spec": spec}
            data = await self._client.patch(LEASES, self._namespace, self.name, change, content_type=MERGE_PATCH)
        self._see(_decode(data))
