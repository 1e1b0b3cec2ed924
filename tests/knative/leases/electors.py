"""Processes that want the bucket's lease, on virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from dilu_autoscaler.knative.buckets.leases import BucketLeases
from dilu_kube.lease_rules import LeaseDurations
from knative.leases.lease_store import BUCKET, NAMESPACE, LeaseStore, Line, MemoryClient
from loops import now_s

BOOTED_S = 50_000.0  # our clock is not the loop's


class Elector:
    """One process: its leases, its way to the server, and what its handlers were told."""

    def __init__(
        self,
        store: LeaseStore,
        name: str = "a",
        *,
        line: Line | None = None,
        durations: LeaseDurations | None = None,
        takes: bool = True,
        buckets: Sequence[str] = (BUCKET,),
        clock_s: Callable[[], float] | None = None,
        wall_s: Callable[[], float] | None = None,
        seed: int = 0,
    ) -> None:
        self.name = name
        self.identity = f"{name}_10.0.0.{ord(name[0])}"
        self.line = line or Line()
        self.client = MemoryClient(store, name, self.line)
        self.told: list[tuple[float, bool, str]] = []
        self.leases = BucketLeases(
            self.client,
            namespace=NAMESPACE,
            identity=self.identity,
            buckets=buckets,
            durations=durations,
            takes=takes,
            clock_s=clock_s or (lambda: BOOTED_S + now_s()),
            wall_s=wall_s or (lambda: 1_790_000_000 + now_s()),
            jitter=random.Random(seed).random,
        )
        self.leases.on_change(self._changed)
        self.leases.start()

    def _changed(self, bucket: str, holds_it: bool, holder: str) -> None:
        self.told.append((now_s(), holds_it, holder))

    def holds(self) -> bool:
        return self.leases.holds(BUCKET)

    @property
    def changes(self) -> list[tuple[bool, str]]:
        return [(holds_it, holder) for _, holds_it, holder in self.told]

    async def die(self) -> None:
        """End without a word: what it has not sent by now never arrives."""
        self.line.is_down = True
        await self.leases.close(release=False)
        await self.client.close()

    async def close(self) -> None:
        await self.leases.close()
        await self.client.close()
