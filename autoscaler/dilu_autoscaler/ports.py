"""What the loop needs of the world: a clock, a source of observations, someone who acts.

All three are synchronous and quick. `observe` reads a snapshot that its owner keeps up to date; `apply` records the
desired state and wakes its owner (locally the supervisor of the replicas, on Knative the reconciler), who alone acts.
Neither waits for the network, for a process or for a lock that is held across one. Whatever tells apart a real
cluster, one machine and a simulated world lies behind these three.

The loop looks only when something can have changed. So whoever learns of a change between two samples pokes it: a
request that found no replica, a quiet function that is called again, a replica that became ready or died. The policies
count on that: seconds that are handed out when the first replica has become ready are taken for seconds of its loading.

The vertical dimension (each replica's share of its GPU) is decided per node, not per function, many times a second.
It will have an actuator of its own beside this one; `Actuator` stays the horizontal one.
"""

from __future__ import annotations

from typing import Protocol

from dilu_autoscaler.policy.horizontal.observations import Decision, Observation


class Clock(Protocol):
    """Tells the loop's time."""

    def now_s(self) -> float:
        """Seconds on the clock that samples are stamped with. Monotonic, except where the samples' stamps come from
        other machines and are wall time."""
        ...


class MetricsSource(Protocol):
    """Knows what each function's load and replicas are."""

    def observe(self, function: str, now_s: float) -> Observation | None:
        """What happened to `function` since the last call, and its replicas now.

        Each elapsed second is handed out once, oldest first; seconds in which nothing arrived are filled in as zeros,
        so a quiet function need not be looked at every second. A source that lost sight of a function leaves its
        seconds out instead: no sample means "not known". None means that not even the number of replicas is known;
        the loop holds, and asks again after a second.
        """
        ...


class Actuator(Protocol):
    """Gives each function the number of replicas that was decided."""

    def apply(self, function: str, decision: Decision) -> None:
        """Record `decision.replicas` (a number here, never None) as desired and wake whoever brings it about.

        The next observation's `desired` says what was recorded; where it still differs from the decision, the loop
        applies again.
        """
        ...
