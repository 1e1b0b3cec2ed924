"""One GPU: its tenants in flat columns, and the vertical rule that is called when they change.

The rule sees each GPU as a node of one. A decision belongs to a tick of 5 ms. If an input changes within a tick, the
decision is computed again from the state at the tick's start, so shares never move further in a tick than the rule
allows, however often inputs change.

A node agent calls its rule at every tick. Most of those calls change nothing, so a simulation calls it when inputs
change, and at the ticks at which the rule has said that a share could change by itself.
"""

from __future__ import annotations

from typing import Final, Protocol

from dilu_autoscaler.policy.vertical import (
    VerticalInputs,
    VerticalPolicy,
    VerticalState,
    initial_state,
    with_tenant,
    without_tenant,
)
from dilu_autoscaler.policy.vertical.node_state import WHOLE_MILLI
from dilu_simulator.event_queue import EventQueue, Order

TICK_US: Final = 5000
HEADROOM_US: Final = 1_000_000
"""A tenant without work for this time is expected to lend its share."""


class TenantRunner(Protocol):
    """What runs on a tenant's share."""

    def slack_us(self, now_us: int) -> int:
        """Return how much later than expected its oldest request may be answered."""

    def settle(self) -> None:
        """Record what was done until now: shares, or the number of working neighbours, are about to change."""

    def rerate(self) -> None:
        """Follow the shares and the number of working neighbours, which have changed."""


class Tenant:
    """One replica on one GPU."""

    __slots__ = ("gpu", "granted_milli", "place", "runner", "running", "share_milli", "worked_us")

    def __init__(self, gpu: Gpu, place: int, runner: TenantRunner) -> None:
        self.gpu = gpu
        self.place = place
        self.runner = runner
        self.granted_milli = 0
        """What the rule grants it, used or not."""
        self.share_milli = 0
        """The same while it has work, else 0."""
        self.running = 0
        """How many tenants of its GPU have work."""
        self.worked_us = -HEADROOM_US
        """When its work last ended."""


class Gpu:
    """Tenants, and what each is granted."""

    __slots__ = (
        "_before",
        "_due_us",
        "_events",
        "_vertical",
        "inputs",
        "number",
        "state",
        "tenants",
        "tick_us",
    )

    def __init__(self, number: int, vertical: VerticalPolicy, events: EventQueue) -> None:
        self.number = number
        self.tenants: list[Tenant] = []
        self.inputs = VerticalInputs(
            first=[0, 0],
            request_milli=[],
            limit_milli=[],
            sensitive=[],
            work=[],
            slack_us=[],
            cycle_us=[],
            min_cycle_us=[],
        )
        self.state = initial_state(1)
        self.tick_us = events.now_us
        """When the present tick began."""
        self._before = initial_state(1)  # the state at the beginning of the present tick
        self._vertical = vertical
        self._events = events
        self._due_us = -1

    def join(self, runner: TenantRunner, *, request_milli: int, limit_milli: int, sensitive: bool) -> Tenant:
        """Add a tenant, without work yet."""
        self.before_change()
        tenant = Tenant(self, len(self.tenants), runner)
        self.tenants.append(tenant)
        inputs = self.inputs
        inputs.request_milli.append(request_milli)
        inputs.limit_milli.append(limit_milli)
        inputs.sensitive.append(int(sensitive))
        for column in (inputs.work, inputs.slack_us, inputs.cycle_us, inputs.min_cycle_us):
            column.append(0)
        inputs.first[1] += 1
        self._part_memories()
        for state in (self.state, self._before):
            with_tenant(state, tenant.place)
        self.decide()
        return tenant

    def leave(self, tenant: Tenant) -> None:
        """Remove a tenant."""
        self.before_change()
        place, inputs = tenant.place, self.inputs
        for column in (
            inputs.request_milli,
            inputs.limit_milli,
            inputs.sensitive,
            inputs.work,
            inputs.slack_us,
            inputs.cycle_us,
            inputs.min_cycle_us,
        ):
            del column[place]
        inputs.first[1] -= 1
        del self.tenants[place]
        for later in self.tenants[place:]:
            later.place -= 1
        self._part_memories()
        for state in (self.state, self._before):
            without_tenant(state, place)
        self.decide()

    def before_change(self) -> None:
        """Account for the time until now; call it before any input changes."""
        elapsed = (self._events.now_us - self.tick_us) // TICK_US
        if not elapsed:
            return
        self.tick_us += elapsed * TICK_US
        if self._vertical.remembers_time and self.tenants:
            self._vertical.decide(self.inputs, self.state, elapsed * TICK_US)
        self._remember()

    def decide(self) -> None:
        """Compute the grants from now on, after an input has changed."""
        self._recall()
        self._apply(0)

    def soon(self) -> None:
        """Decide at the next tick, because slack has changed."""
        if self._due_us < 0 and sum(self.inputs.work) > 1:
            self._call_at(self.tick_us + TICK_US * ((self._events.now_us - self.tick_us) // TICK_US + 1))

    def could_grant(self, tenant: Tenant) -> int:
        """Return the share that a tenant could have now: all but the requests of others that work, or did just now."""
        inputs = self.inputs
        lately_us = self._events.now_us - HEADROOM_US
        left = WHOLE_MILLI
        for place, other in enumerate(self.tenants):
            if other is not tenant and (inputs.work[place] or other.worked_us > lately_us):
                left -= inputs.request_milli[place]
        place = tenant.place
        return self._vertical.max_grant_milli(inputs.request_milli[place], inputs.limit_milli[place], left)

    def _apply(self, elapsed_us: int) -> None:
        inputs, tenants = self.inputs, self.tenants
        work = inputs.work
        running = sum(work)
        if running > 1:
            now_us = self._events.now_us
            for place, tenant in enumerate(tenants):
                if work[place]:
                    inputs.slack_us[place] = tenant.runner.slack_us(now_us)
        grants, change_us = self._vertical.decide(inputs, self.state, elapsed_us)
        for place, tenant in enumerate(tenants):
            granted = grants[place]
            if work[place]:
                if granted == tenant.share_milli and running == tenant.running:
                    continue
                share = granted
            elif granted == tenant.granted_milli and not tenant.share_milli:
                continue
            else:
                share = 0
            tenant.runner.settle()
            tenant.granted_milli, tenant.share_milli, tenant.running = granted, share, running
            tenant.runner.rerate()
        if running and change_us is not None:
            self._call_at(self.tick_us + -(-change_us // TICK_US) * TICK_US)

    def _call_at(self, at_us: int) -> None:
        now_us = self._events.now_us
        if not now_us < self._due_us <= at_us:
            self._due_us = at_us
            self._events.at(at_us, Order.GRANTED, self._tick)

    def _tick(self) -> None:
        now_us = self._events.now_us
        if self._due_us != now_us:  # another call was scheduled instead
            return
        self._due_us = -1
        elapsed = (now_us - self.tick_us) // TICK_US
        if not elapsed or not self.tenants:
            return
        self.tick_us += elapsed * TICK_US
        if self._vertical.remembers_time:
            self._apply(elapsed * TICK_US)
            self._remember()
        else:
            self._remember()
            self._apply(TICK_US)

    def _remember(self) -> None:
        if self._vertical.remembers_time:
            self._before = _copied(self.state)
        else:  # its state holds only grants, in a new list each time
            self._before.granted_milli = self.state.granted_milli

    def _recall(self) -> None:
        if self._vertical.remembers_time:
            self.state = _copied(self._before)
        else:
            self.state.granted_milli = self._before.granted_milli

    def _part_memories(self) -> None:
        """Copy the column that both states share, before a place is inserted or deleted in each."""
        self._before.granted_milli = list(self._before.granted_milli)


def _copied(state: VerticalState) -> VerticalState:
    return VerticalState(
        granted_milli=list(state.granted_milli),
        idle_us=list(state.idle_us),
        counter=list(state.counter),
        mode=list(state.mode),
        owner=list(state.owner),
        step_us=list(state.step_us),
    )
