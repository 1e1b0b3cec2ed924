"""Loads that look like those of published traces, in replicas of capacity; generated, so that none has to be stored."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

CAPACITY_RPS = 56.0


def bursty(seed: int, seconds: int = 600) -> list[float]:
    """Calm stretches, then bursts of three to six replicas, then waves."""
    rng, load = Random(seed), list[float]()
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
            load += [1.3 - swing * math.cos(2 * math.pi * at / period) for at in range(period)]
    return [max(0.0, value) * CAPACITY_RPS for value in load[:seconds]]


def periodic(seed: int, seconds: int = 600) -> list[float]:
    """A peak of three to five replicas in every period of about 144 s, and little between."""
    rng = Random(seed)
    period = rng.uniform(120, 170)
    peaks = [rng.uniform(3, 5.5) for _ in range(seconds // 100 + 1)]
    load, drift = [], 0.0
    for at in range(seconds):
        drift = 0.8 * drift + rng.gauss(0, 0.2)
        phase = at / period % 1.0
        peak = peaks[int(at / period)] * math.exp(-(((phase - 0.75) / 0.1) ** 2))
        load.append(max(0.0, 0.5 + peak * (1 + 0.35 * drift) + 0.25 * drift) * CAPACITY_RPS)
    return load


def sporadic(seed: int, seconds: int = 600) -> list[float]:
    """Nothing for two thirds of the time, and now and then a few requests."""
    rng, load = Random(seed), list[float]()
    while len(load) < seconds:
        load += [0.0] * (1 + int(rng.expovariate(1 / 8)))
        high = min(1.8, rng.expovariate(1 / 0.2))
        load += [high * rng.uniform(0.4, 1.0) for _ in range(rng.randint(1, 5))]
    return [value * CAPACITY_RPS for value in load[:seconds]]


LOADS = {"bursty": bursty, "periodic": periodic, "sporadic": sporadic}


def write_rates(path: Path, rates_rps: list[float]) -> Path:
    """A workload file: one rate a line."""
    path.write_text("".join(f"{rate!r}\n" for rate in rates_rps))
    return path
