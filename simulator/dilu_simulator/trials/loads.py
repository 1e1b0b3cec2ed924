"""Families of loads as rates of one second each, in replicas of capacity: what a policy is developed and judged on.

A family and a seed give one load, always the same. The families below `HELD_OUT` were not looked at while the
constants of `dilu` were searched, nor were the seeds from `FIRST_JUDGING_SEED` on of any family.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Final

Family = Callable[[Random, int], list[float]]
"""The load of a number of seconds."""

FIRST_JUDGING_SEED: Final = 100
CAPACITY_RPS: Final = 56.0
"""Of the replicas that the loads are told in, where nothing else is said."""


def bursty(rng: Random, seconds: int) -> list[float]:
    """Calm stretches, then bursts of three to six replicas, then waves."""
    load = list[float]()
    while len(load) < seconds:
        kind = rng.random()
        if kind < 0.35:
            level = rng.uniform(1.5, 3.0)
            load += [level + rng.gauss(0, 0.1) for _ in range(rng.randint(40, 160))]
        elif kind < 0.75:
            for _ in range(rng.randint(2, 6)):
                high, low = rng.uniform(3, 6), rng.uniform(1, 2.2)
                load += [high + rng.gauss(0, 0.5) for _ in range(rng.randint(8, 35))]
                load += [low + rng.gauss(0, 0.3) for _ in range(rng.randint(3, 15))]
        else:
            period, swing = rng.randint(40, 90), rng.uniform(0.7, 1.2)
            load += [1.3 - swing * math.cos(math.tau * at / period) for at in range(period)]
    return load[:seconds]


def periodic(rng: Random, seconds: int) -> list[float]:
    """Return a load with a peak in every period of one to four minutes, each peak somewhat different."""
    period_s, width, top = rng.uniform(60, 240), rng.uniform(0.06, 0.2), rng.uniform(2, 6)
    jitter, base, drift = rng.uniform(0, 0.175), rng.uniform(0.2, 1.2), 0.0
    peaks = [top * (1 + jitter * rng.gauss(0, 1)) for _ in range(int(seconds / period_s) + 2)]
    load = list[float]()
    for at in range(seconds):
        drift = 0.8 * drift + rng.gauss(0, 0.2)
        phase = at / period_s % 1
        peak = peaks[int(at / period_s)] * math.exp(-(((phase - 0.6) / width) ** 2))
        load.append(base + peak * (1 + 0.35 * drift) + 0.25 * drift)
    return load


def clocked(rng: Random, seconds: int) -> list[float]:
    """On and off again at fixed times."""
    period_s = rng.randint(40, 200)
    on_s, high, low, noise = (
        rng.randint(8, period_s - 10),
        rng.uniform(1.5, 5),
        rng.uniform(0, 1),
        rng.uniform(0.02, 0.2),
    )
    return [(high if at % period_s < on_s else low) + rng.gauss(0, noise) for at in range(seconds)]


def on_off(rng: Random, seconds: int) -> list[float]:
    """On for a while, off for a while, neither for long the same."""
    on_s, off_s = rng.uniform(8, 90), rng.uniform(8, 120)
    high, low, load = rng.uniform(1.5, 5), rng.uniform(0, 1), list[float]()
    while len(load) < seconds:
        for mean_s, level in ((on_s, high * rng.uniform(0.7, 1.2)), (off_s, low)):
            lasts_s = max(2, int(rng.expovariate(1 / mean_s)) if rng.random() < 0.6 else int(mean_s))
            load += [level + rng.gauss(0, 0.1) for _ in range(lasts_s)]
    return load[:seconds]


def gamma(rng: Random, seconds: int) -> list[float]:
    """One rate, with requests that come in clumps: gaps of a Gamma distribution, with a variation of 1 to 6."""
    variation, mean = rng.choice([1, 2, 4, 6]), rng.uniform(0.5, 4)
    shape, rps = 1 / variation**2, mean * CAPACITY_RPS
    counts, at_s = [0] * seconds, 0.0
    while (at_s := at_s + rng.gammavariate(shape, 1 / shape) / rps) < seconds:
        counts[int(at_s)] += 1
    return [count / CAPACITY_RPS for count in counts]


def walk(rng: Random, seconds: int) -> list[float]:
    """Return a rate that wanders about a mean."""
    mean, step, pull = rng.uniform(1, 3.5), rng.uniform(0.05, 0.15), rng.uniform(0.005, 0.03)
    at, load = 0.0, list[float]()
    for _ in range(seconds):
        at += rng.gauss(0, step) - pull * at
        load.append(mean * math.exp(at - 0.2) + rng.gauss(0, 0.1))
    return load


def steps(rng: Random, seconds: int) -> list[float]:
    """One level after another, each for 20 to 150 s."""
    load = list[float]()
    while len(load) < seconds:
        level, noise = rng.uniform(0.2, 5), rng.uniform(0.02, 0.25)
        load += [level + rng.gauss(0, noise) for _ in range(rng.randint(20, 150))]
    return load[:seconds]


def diurnal(rng: Random, seconds: int) -> list[float]:
    """Return a slow wave, a day in seven to fifteen minutes."""
    period_s, swing, begins = rng.uniform(400, 900), rng.uniform(1, 3), rng.random()
    mean, noise, drift, load = swing + rng.uniform(0.1, 1), rng.uniform(0.05, 0.3), 0.0, list[float]()
    for at in range(seconds):
        drift = 0.9 * drift + rng.gauss(0, 0.45 * noise)
        load.append(mean - swing * math.cos(math.tau * (at / period_s + begins)) + drift)
    return load


def flash(rng: Random, seconds: int) -> list[float]:
    """Return a steady rate with up to four crowds that arrive at once and leave slowly."""
    base = rng.uniform(0.4, 2)
    load = [base * (1 + rng.gauss(0, 0.08)) for _ in range(seconds)]
    for _ in range(rng.randint(1, 4)):
        begins, high, tail_s, rise_s = (
            rng.randrange(seconds),
            rng.uniform(2, 6),
            rng.uniform(15, 120),
            rng.choice([1, 5, 15]),
        )
        for at in range(begins, seconds):
            load[at] += high * min(1, (at - begins + 1) / rise_s) * math.exp(-(at - begins) / tail_s)
    return load


def sporadic(rng: Random, seconds: int) -> list[float]:
    """Nothing most of the time, and now and then a few seconds of some."""
    gap_s, high, load = rng.uniform(4, 40), rng.uniform(0.2, 2.5), list[float]()
    while len(load) < seconds:
        load += [0.0] * (1 + int(rng.expovariate(1 / gap_s)))
        level = min(4.0, rng.expovariate(1 / high))
        load += [level * rng.uniform(0.4, 1) for _ in range(rng.randint(1, 8))]
    return load[:seconds]


def flat(rng: Random, seconds: int) -> list[float]:
    """One rate and noise."""
    level, noise = rng.uniform(0.5, 5), rng.uniform(0.05, 0.5)
    return [level + rng.gauss(0, noise) for _ in range(seconds)]


DEVELOPED_ON: Final[dict[str, Family]] = {
    "bursty": bursty,
    "clocked": clocked,
    "diurnal": diurnal,
    "gamma": gamma,
    "on-off": on_off,
    "periodic": periodic,
    "steps": steps,
    "walk": walk,
}
HELD_OUT: Final[dict[str, Family]] = {"flash": flash, "flat": flat, "sporadic": sporadic}
FAMILIES: Final[dict[str, Family]] = DEVELOPED_ON | HELD_OUT


def load_rps(family: str, seed: int, seconds: int = 900) -> list[float]:
    """Return the load of a family and seed: a rate for each second.

    >>> load_rps("steps", 1, 50) == load_rps("steps", 1, 50)
    True
    """
    rates = FAMILIES[family](Random(f"{family}-{seed}"), seconds)
    return [max(0.0, rate) * CAPACITY_RPS for rate in rates]
