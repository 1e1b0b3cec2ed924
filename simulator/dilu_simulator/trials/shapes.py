"""Loads by their parameters, to search among: bursts over a level, more or less regular, on a slow wave, with noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from dilu.errors import ConfigError
from dilu_autoscaler.policy.horizontal import POLICIES
from dilu_simulator.trials.fluid_world import Trial, TrialOutcome, tried
from dilu_simulator.trials.loads import CAPACITY_RPS

_POINT_PER_START: Final = 0.5
_POINT_PER_TIME_PERCENT: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What makes a load; levels are in replicas."""

    base: float
    high: float
    """On top of the base, while a burst lasts."""
    on_s: float
    off_s: float
    regular_ratio: float
    """1: bursts and pauses always last as long. 0: they are drawn from an exponential distribution."""
    rise_s: float
    """The time in which a burst reaches its peak."""
    noise: float
    wave: float
    """How far the base goes up and down, of itself."""
    wave_s: float
    seed: int = 0
    seconds: int = 900

    def __post_init__(self) -> None:
        if not (self.on_s >= 1 and self.off_s >= 1 and self.rise_s > 0 and self.wave_s > 0):
            raise ConfigError(f"{self}: bursts, pauses, rise and wave must last, the first two for a second at least")


RANGES: Final[dict[str, tuple[float, float]]] = {
    "base": (0.0, 3.0),
    "high": (0.2, 6.0),
    "on_s": (2.0, 120.0),
    "off_s": (2.0, 150.0),
    "regular_ratio": (0.0, 1.0),
    "rise_s": (0.5, 30.0),
    "noise": (0.0, 0.5),
    "wave": (0.0, 1.0),
    "wave_s": (60.0, 900.0),
}


def any_shape(rng: Random) -> Shape:
    """One out of all that are searched."""
    values = {name: round(rng.uniform(*bounds), 3) for name, bounds in RANGES.items()}
    return Shape(**values, seed=rng.randrange(1000))  # type: ignore[arg-type]  # the whole numbers are not among them


def near(shape: Shape, rng: Random) -> Shape:
    """One that differs a little in one or two parameters."""
    changed = {}
    for name in rng.sample(sorted(RANGES), rng.choice([1, 2])):
        low, high = RANGES[name]
        value = getattr(shape, name) + rng.gauss(0, 0.15) * (high - low)
        changed[name] = round(min(high, max(low, value)), 3)
    return replace(shape, **changed)


def shape_rps(shape: Shape) -> list[float]:
    """Return the load: a rate for each second."""
    rng, load = Random(shape.seed), list[float]()
    while len(load) < shape.seconds:
        for mean_s, level in ((shape.off_s, 0.0), (shape.on_s, shape.high)):
            drawn_s = rng.expovariate(1 / mean_s)
            lasts_s = max(1, round(shape.regular_ratio * mean_s + (1 - shape.regular_ratio) * drawn_s))
            load += [level * min(1.0, (at + 1) / shape.rise_s) for at in range(lasts_s)]
    waves = [
        shape.base * (1 - shape.wave * math.cos(math.tau * second / shape.wave_s)) for second in range(shape.seconds)
    ]
    return [
        max(0.0, wave + burst + rng.gauss(0, shape.noise)) * CAPACITY_RPS
        for wave, burst in zip(waves, load, strict=False)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """One policy against another on the same load."""

    ours: TrialOutcome
    other: TrialOutcome

    @property
    def violation_points(self) -> float:
        """Percent of all requests that ours violated more."""
        return 100 * (self.ours.violation_ratio - self.other.violation_ratio)

    @property
    def more_starts(self) -> int:
        """Cold starts that ours had more."""
        return self.ours.cold_starts - self.other.cold_starts

    @property
    def time_ratio(self) -> float:
        """Replica time of ours, of the other's."""
        return self.ours.replica_s / self.other.replica_s

    @property
    def loss(self) -> float:
        """All three in one number: a percent of violations is worth two cold starts or two percent of replica time."""
        more_time = 100 * (self.time_ratio - 1)
        return self.violation_points + _POINT_PER_START * self.more_starts + _POINT_PER_TIME_PERCENT * more_time


def duel(shape: Shape, ours: str = "dilu", other: str = "dilu-paper") -> Duel:
    """Run the two policies on a load; return their runs by name."""
    trial, load = Trial(capacity_rps=CAPACITY_RPS), shape_rps(shape)
    return Duel(ours=tried(POLICIES[ours], trial, load), other=tried(POLICIES[other], trial, load))
