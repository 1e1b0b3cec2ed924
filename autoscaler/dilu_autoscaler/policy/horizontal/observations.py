"""What a policy sees and what it returns: frozen values that all modes and policies share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One elapsed second of one function, summed over its replicas and whatever waits in front of them.

    A quiet second is a sample of zeros, which is not the same as no sample: no sample means that nothing is known.
    """

    t_s: float
    """Start of the second on the loop's clock: the sample covers [t_s, t_s + 1)."""
    concurrency: float
    """Mean number of requests in flight, waiting ones included."""
    rps: float
    """Requests that arrived, refused ones included: the demand, not what was served."""
    missed: float | None = None
    """Requests that ended in this second and missed their objective: refused (queue full, or they would have been
    late), expired while they waited, failed, or answered late. Without an objective none is late. None: the source does
    not see how requests end, as Knative's queue-proxies do not report it."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing arrived and nothing was in flight."""
        return self.rps == 0 and self.concurrency == 0


def quiet_after(samples: tuple[Sample, ...], quiet_before: int) -> int:
    """Return how many of the newest samples in a row are quiet, given how many were before these."""
    quiet = quiet_before
    for sample in samples:
        quiet = quiet + 1 if sample.is_quiet else 0
    return quiet


@dataclass(frozen=True, slots=True, kw_only=True)
class Averages:
    """Load over KPA's two windows."""

    stable: float
    panic: float

    def at_least(self, load: float) -> Averages:
        """Return the averages, each raised to `load` if it is below."""
        return Averages(stable=max(self.stable, load), panic=max(self.panic, load))


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragedLoad:
    """Load that the source itself averages over KPA's windows, and the function when the source first observed it."""

    averages: Averages
    first_ready: int
    """Replicas that were ready then, whether or not any load was known."""
    first_s: float
    """When that was, on the loop's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A snapshot of one function: what happened since the last one, and how many replicas there are now."""

    samples: tuple[Sample, ...] = ()
    """One for each second that elapsed since the last observation, oldest first."""
    ready: int
    """Replicas that can answer now."""
    starting: int = 0
    """Replicas that were started and are not ready yet."""
    desired: int
    """The count that the actuator recorded last."""
    waiting: int = 0
    """Requests that wait at this moment because no replica is ready. Once their second is over they are in `samples`
    too; this field lets the first of them start a replica before that."""
    learned_rps: float | None = None
    """Requests per second that one ready replica has shown it sustains, the mean of the replicas that know. None:
    nothing learned yet. A source that learned a value reports it until it learns another one."""
    grantable_rps: float | None = None
    """Requests per second that one ready replica would sustain at the share its node could grant it now, the mean of
    the ready replicas. None: the source does not know what nodes could grant, or no replica is ready."""
    averaged: AveragedLoad | None = None
    """The load over KPA's windows, where the source keeps them, as on Knative. None: the policy keeps its own."""
    next_sample_s: float | None = None
    """When the source will next have a new sample. None: quiet until it pokes the loop."""

    @property
    def is_coming_up(self) -> bool:
        """Whether the first replica is still starting. No request can be served yet, so a lull tells nothing about the
        demand: clients may have given up. No policy goes to zero meanwhile."""
        return self.ready == 0 and self.starting > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How many replicas there should be, and why."""

    replicas: int | None
    """None: hold, whatever the count is now. Zero is a count, never "unknown"."""
    reason: str
    """One line for operators: what was decided, by which numbers, against which limit."""
    next_change_s: float | None = None
    """Earliest time at which the answer could differ if from now on every second is quiet. None: never."""
    excess_burst_capacity: int | None = None
    """Requests in flight that the ready replicas could take on top (-1: the burst target is unlimited).
    None: the policy does not compute it."""
    may_give_up: bool = False
    """The first replica is still starting, and no request has waited for it for a stable window: a platform on which
    starts time out may give it up."""
    panicking: bool = False
    """The policy is in panic mode: it only goes up."""
    stable: float | None = None
    """Average over the stable window, where the policy has one."""
    panic: float | None = None
    """Average over the panic window, where the policy has one."""
