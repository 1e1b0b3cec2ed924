"""What the loop needs from its platform: a clock, a source of observations, an actuator.

All three are synchronous and fast. `observe` reads a snapshot that its owner keeps up to date; `apply` records the
desired state and wakes its owner, which alone acts: locally the supervisor of the replicas, on Knative the reconciler.
None of them waits for the network, for a process or for a lock that is held across one. A cluster, one machine and a
simulated world differ only behind these three.

The loop decides only when something can have changed. A part that learns of a change between two samples has to poke
it: a request that found no replica, a quiet function that is called again, a replica that became ready or died. The
policies count on that: seconds that are handed out when the first replica has become ready count as its loading time.

The vertical dimension (each replica's share of its GPU) is decided per node, not per function, many times a second. It
has an actuator of its own; `Actuator` is the horizontal one.
"""

from __future__ import annotations

from typing import Protocol

from dilu_autoscaler.policy.horizontal.observations import Decision, Observation


class Clock(Protocol):
    """The loop's time."""

    def now_s(self) -> float:
        """Return seconds on the clock that samples are stamped with. It is monotonic, except where other machines
        stamp the samples: there it is wall time."""
        ...


class MetricsSource(Protocol):
    """The load and the replicas of each function."""

    def observe(self, function: str, now_s: float) -> Observation | None:
        """Return what happened to `function` since the last call, and its replicas now.

        Each elapsed second is handed out once, oldest first; seconds in which nothing arrived are filled in as zeros,
        so a quiet function need not be observed every second. A source that lost sight of a function leaves its seconds
        out instead: no sample means "not known". None means that not even the number of replicas is known; the loop
        holds, and observes again after a second.
        """
        ...


class Actuator(Protocol):
    """The recorded decisions, and the part that brings them about."""

    def apply(self, function: str, decision: Decision) -> None:
        """Record what was decided, and wake the owner if that changes what it has to do.

        It is called with the first count of a function, and whenever a decision differs from what was applied last:
        in its count, its excess burst capacity or whether a start may be given up. `decision.replicas` is None where
        only one of the others is new. The next observation's `desired` is the recorded count; while it differs from
        the decided one, the loop applies again.
        """
        ...
