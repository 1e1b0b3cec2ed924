"""One simulated function: a gateway where requests wait, and replicas that start and stop."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from dilu.batching import BatchRule
from dilu_autoscaler.load_sampler import LoadSampler
from dilu_autoscaler.policy.horizontal import Observation
from dilu_simulator.arrivals.tokens import Tokens
from dilu_simulator.event_queue import US_PER_S, EventQueue, Order
from dilu_simulator.function_settings import FunctionSetting, LoopPokes, ReplicaPlaces
from dilu_simulator.latencies import Latencies
from dilu_simulator.replicas import Phase, SimulatedReplica, SimulatedRequest

BATCHES_IN_FLIGHT: Final = 2
"""Without admission a replica takes one batch to run and one to collect; the rest waits at the gateway."""
_MAX_BATCHES: Final = 64
"""With admission the replicas refuse long before this."""


class SimulatedFunction:
    """Requests in, latencies and replica time out. Its owner decides the number of replicas."""

    def __init__(
        self, setting: FunctionSetting, *, events: EventQueue, places: ReplicaPlaces, pokes: LoopPokes
    ) -> None:
        self.setting = setting
        self.desired = setting.warm_replicas
        self.cold_starts = 0
        self.first_cold_starts = 0
        """Of these, the one before which the function never had a replica."""
        self.cold_start_s: float | None = None
        """How long the last one took. None: there was none yet."""
        self.latencies = Latencies()
        self.late = 0
        """Requests that were answered after the objective."""
        self.refused = 0
        self.outstanding = 0
        """Requests that were not answered yet."""
        self._events = events
        self._places = places
        self._pokes = pokes
        spec = setting.spec
        slo_s = None if spec.slo_ms is None else spec.slo_ms / 1000
        self._slo_us = None if slo_s is None else round(slo_s * US_PER_S)
        self._rule = BatchRule(
            max_size=spec.batch or 1, slo_s=slo_s if setting.request_slo_s is None else setting.request_slo_s
        )
        # Ready replicas by load, those whose load changed longest ago first: one with the least load is found at once.
        batches = _MAX_BATCHES if setting.admits_by_slo else BATCHES_IN_FLIGHT
        max_load = batches * (spec.batch or 1)
        self._by_load: list[OrderedDict[SimulatedReplica, None]] = [OrderedDict() for _ in range(max_load + 1)]
        self._with_room = self._by_load[:-1]
        self._unplaced: deque[SimulatedReplica] = deque()
        self._starting: OrderedDict[SimulatedReplica, None] = OrderedDict()
        self._living: OrderedDict[SimulatedReplica, None] = OrderedDict()
        """Return all that have not ended, including draining ones."""
        self._ready = 0
        self._born = 0
        self._waiting: deque[tuple[int, Tokens | None]] = deque()
        self._load = LoadSampler()
        self._is_watched = False
        self._ended_us = 0
        for _ in range(setting.warm_replicas):
            replica = self._new_replica()
            if self._find_place(replica):
                self._make_ready(replica)

    @property
    def replica_us(self) -> int:
        """Return the time of all replicas, from their start decision to their end, within the counted time."""
        return self._ended_us + sum(self._counted_us(replica) for replica in self._living)

    @property
    def ready(self) -> int:
        """Replicas that can answer now."""
        return self._ready

    @property
    def starting(self) -> int:
        """Replicas that were asked for and are not ready yet."""
        return len(self._starting)

    @property
    def refused_or_late(self) -> int:
        """Requests that were not answered within the objective."""
        return self.refused + self.late

    def arrive(self, tokens: Tokens | None = None) -> None:
        """Take one request now."""
        now_us = self._events.now_us
        self._load.arrived(now_us)
        self.outstanding += 1
        replica = None if self._waiting else self._with_min_load()
        if replica is not None and self.setting.admits_by_slo and replica.refuses():
            self._refuse(now_us)
        elif replica is not None:
            self._give(replica, now_us, tokens)
        else:
            self._waiting.append((now_us, tokens))
            if not self._ready and len(self._waiting) == 1:
                self._pokes.now()
        if not self._is_watched:
            self._is_watched = True
            self._pokes.at_next_second()

    def observe(self) -> Observation:
        """Return what happened since the last call."""
        now_us = self._events.now_us
        samples = self._load.take(now_us)
        self._is_watched = not self._load.is_quiet
        return Observation(
            samples=samples,
            ready=self._ready,
            starting=len(self._starting),
            desired=self.desired,
            waiting=0 if self._ready else len(self._waiting),
            learned_rps=self.setting.spec.rps_limit,
            grantable_rps=self._grantable_rps(),
            next_sample_s=now_us // US_PER_S + 1.0 if self._is_watched else None,
        )

    def scale_to(self, replicas: int) -> None:
        """Start or stop replicas until `replicas` remain, not counting those that drain."""
        self.desired = replicas
        while self._ready + len(self._starting) < replicas:
            replica = self._new_replica()
            counts = self._events.now_us < self.setting.ends_us
            self.cold_starts += counts
            self.first_cold_starts += counts and self._born == 1
            self._find_place(replica)
        while self._ready + len(self._starting) > replicas:
            self._stop_one()

    def find_places(self) -> bool:
        """Place the replicas that wait for room, oldest first; return whether some still wait."""
        while self._unplaced and self._find_place(self._unplaced[0]):
            self._unplaced.popleft()
        return bool(self._unplaced)

    def _grantable_rps(self) -> float | None:
        """Return the mean of what the ready replicas could sustain at the shares that their GPUs could grant now."""
        count, sum_rps = 0, 0.0
        for replica in self._living:
            if replica.phase is Phase.READY and replica.execution is not None:
                grantable_rps = replica.execution.grantable_rps()
                if grantable_rps is not None:
                    count, sum_rps = count + 1, sum_rps + grantable_rps
        return sum_rps / count if count else None

    def _new_replica(self) -> SimulatedReplica:
        self._born += 1
        replica = SimulatedReplica(
            self._born,
            rule=self._rule,
            fit=self.setting.fit,
            learned=self.setting.learned,
            events=self._events,
            on_answered=self._answered,
        )
        self._living[replica] = self._starting[replica] = None
        return replica

    def _find_place(self, replica: SimulatedReplica) -> bool:
        """Place the replica and let it load, or let it wait for a place; return whether it is placed."""
        replica.execution = self._places.place(self.setting.spec)
        if replica.execution is None:
            if replica not in self._unplaced:
                self._unplaced.append(replica)
            return False
        at_us = self._events.now_us + self.setting.cold_start_us + replica.execution.start_delay_us
        self._events.at(at_us, Order.READY, lambda: self._loaded(replica))
        return True

    def _loaded(self, replica: SimulatedReplica) -> None:
        if replica.phase is Phase.STARTING:  # not stopped meanwhile
            self.cold_start_s = (self._events.now_us - replica.asked_us) / US_PER_S
            self._make_ready(replica)
            self._pokes.now()

    def _make_ready(self, replica: SimulatedReplica) -> None:
        replica.phase = Phase.READY
        del self._starting[replica]
        self._ready += 1
        self._by_load[replica.load][replica] = None
        self._give_waiting()

    def _stop_one(self) -> None:
        """Return the newest starting replica, since no work is lost with it; else the one with the least load."""
        if self._starting:
            replica, _ = self._starting.popitem()
            if replica.execution is None:
                self._unplaced.remove(replica)
            self._end(replica)
            return
        bucket = next(bucket for bucket in self._by_load if bucket)
        replica, _ = bucket.popitem()
        self._ready -= 1
        replica.phase = Phase.DRAINING
        if not replica.load:
            self._end(replica)

    def _end(self, replica: SimulatedReplica) -> None:
        replica.phase = Phase.ENDED
        del self._living[replica]
        self._ended_us += self._counted_us(replica)
        if replica.execution is not None:
            self._places.leave(replica.execution)

    def _counted_us(self, replica: SimulatedReplica) -> int:
        return max(0, min(self._events.now_us, self.setting.ends_us) - replica.asked_us)

    def _with_min_load(self) -> SimulatedReplica | None:
        """Return a ready replica with room and the least load."""
        for bucket in self._with_room:
            if bucket:
                return next(iter(bucket))
        return None

    def _give(self, replica: SimulatedReplica, arrived_us: int, tokens: Tokens | None) -> None:
        del self._by_load[replica.load][replica]
        replica.take(arrived_us, tokens)
        self._by_load[replica.load][replica] = None

    def _give_waiting(self) -> None:
        while self._waiting:
            replica = self._with_min_load()
            if replica is None:
                return
            if self.setting.admits_by_slo and replica.refuses():
                self._waiting.popleft()
                self._refuse(self._events.now_us)
            else:
                self._give(replica, *self._waiting.popleft())

    def _refuse(self, now_us: int) -> None:
        self.refused += 1
        self.outstanding -= 1
        self._load.finished(now_us, missed=1)

    def _answered(self, replica: SimulatedReplica, requests: list[SimulatedRequest]) -> None:
        now_us, late_before = self._events.now_us, self.late
        self.outstanding -= len(requests)
        for request in requests:
            latency_us = now_us - request.arrived_us
            if request.tokens is not None:
                latency_us //= request.tokens.output
            self.latencies.add(latency_us)
            self.late += self._slo_us is not None and latency_us > self._slo_us
        self._load.finished(now_us, len(requests), missed=self.late - late_before)
        if replica.phase is Phase.READY:
            del self._by_load[replica.load + len(requests)][replica]
            self._by_load[replica.load][replica] = None
            self._give_waiting()
        elif not replica.load:
            self._end(replica)
            self._pokes.now()
