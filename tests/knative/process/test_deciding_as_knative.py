"""KPA in the loop decides as KPA over its own windows does, at each evaluation; and at rest it misses nothing."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from dilu.spec.fields import Position
from dilu_autoscaler.knative.configuration.revision_settings import settings_of
from dilu_autoscaler.knative.deciding.deciders import Deciders, WallClock
from dilu_autoscaler.knative.deciding.loads import Replicas
from dilu_autoscaler.knative.reports.sampling import Load
from dilu_autoscaler.loop import Tick
from dilu_autoscaler.replay.recorded_lines import LineKind, RecordedLine
from dilu_autoscaler.replay.scalers import KpaScaler
from dilu_autoscaler.replay.spec_keys import keys_of
from knative.revisions import CONFIG, autoscaler

KEY = "ns/rev"
START_S = 1_000_000.0


class Clock(WallClock):
    at_s = START_S

    def now_s(self) -> float:
        return self.at_s


class Pair:
    """The process's deciders, and Knative's arithmetic on the same reports."""

    def __init__(self, annotations: dict[str, str], ready: int) -> None:
        self.clock = Clock()
        self.ready = ready
        self.settings = settings_of(autoscaler(annotations=annotations), CONFIG)
        self.reference = KpaScaler()
        self.reference.change(keys_of(self.settings.kpa, initial_ready=ready), START_S)
        self.ticks = 0
        self.compared: list[tuple[object, object]] = []  # a listener that raises would only be logged
        self.deciders = Deciders(
            replicas=lambda key: Replicas(ready=self.ready, starting=0, asked_for=self.ready),
            throughputs=self,
            on_change=lambda key: None,
            on_tick=lambda tick, settings: self.compare(tick),
            policy="kpa",
            clock=self.clock,
        )
        self.deciders.ensure(KEY, self.settings)
        self.deciders.run_due()

    def learned_rps(self, key: str, now_s: float) -> float | None:
        return None

    def report(self, concurrency: float, ready: int) -> None:
        has_changed, self.ready = ready != self.ready, ready
        now_s = self.clock.at_s
        self.deciders.collector.record_scraped(KEY, Load(concurrency=concurrency, rps=2 * concurrency), now_s)
        self.feed({"concurrency": concurrency, "rps": 2 * concurrency})
        if concurrency or has_changed:  # as the process does at each report of pods, and at each change of theirs
            self.deciders.poke_at_rest(KEY)

    def feed(self, loads: dict[str, float]) -> None:
        line = RecordedLine(
            position=Position(file="", line=0, key_lines={}),
            t_s=self.clock.at_s,
            kind=LineKind.VALUES,
            loads=loads,
            replicas={"ready": self.ready},
        )
        self.reference.feed(line, self.clock.at_s)

    def compare(self, tick: Tick) -> None:
        self.ticks += 1
        self.feed({})
        expected = self.reference.decide(tick.now_s)
        said = tick.decision
        if tick.seen is None:
            return
        if expected.replicas is None:  # at rest, and silent until nothing is known
            self.compared.append(((said.replicas, tick.now_s), (0, tick.now_s)))
            return
        both = (
            (one.replicas, one.excess_burst_capacity, one.panicking, one.stable, one.panic) for one in (said, expected)
        )
        self.compared.append((next(both), next(both)))

    def second(self) -> None:
        """What is due in the next second; the reference looks on while the deciders rest."""
        before = self.ticks
        self.clock.at_s += 1.0
        self.deciders.run_due()
        if self.ticks == before and self.deciders.desired(KEY) == 0:
            self.feed({})
            expected = self.reference.decide(self.clock.at_s)
            assert expected.replicas in (0, None)


SECONDS = st.lists(
    st.one_of(
        st.none(),
        st.tuples(st.sampled_from([0.0, 0.0, 0.3, 1.0, 2.5, 7.0, 40.0]), st.integers(0, 6)),
    ),
    max_size=60,
)


@settings(max_examples=60)
@given(
    seconds=SECONDS,
    ready=st.integers(0, 4),
    window_s=st.sampled_from([6, 10, 30]),
    metric=st.sampled_from(["concurrency", "rps"]),
    more=st.sampled_from(
        [
            {},
            {"scale-down-delay": "8s"},
            {"target-burst-capacity": "0"},
            {"activation-scale": "3"},
            {"metric-aggregation-algorithm": "weighted-exponential"},
        ]
    ),
)
def test_each_decision_is_knative_s(
    seconds: list[tuple[float, int] | None], ready: int, window_s: int, metric: str, more: dict[str, str]
) -> None:
    async def main() -> None:
        pair = Pair({"target": "1", "window": f"{window_s}s", "metric": metric, **more}, ready)
        for one in seconds:
            if one is not None:
                pair.clock.at_s += 0.3
                pair.report(*one)
                pair.deciders.run_due()
                pair.clock.at_s -= 0.3
            pair.second()
        assert [said for said, _ in pair.compared] == [expected for _, expected in pair.compared]
        assert pair.compared or all(one is None for one in seconds)

    asyncio.run(main())
