"""A search for the load on which `dilu` is worst beside `dilu-paper`: at random, then uphill from the worst found.

The loss of a load combines violations, cold starts and replica time (`trials.shapes.Duel`). The worst are
printed with the parameters that make them; ten of them are kept as `tests/policy/test_adversarial_loads.py`.
"""

from __future__ import annotations

import argparse
import os
import statistics
from dataclasses import asdict
from random import Random
from typing import Final

import harness
from dilu_simulator.trials.shapes import Duel, Shape, any_shape, duel, near

NAME = "adversarial"
WORST: Final = 10
_CLIMBERS: Final = 10

Found = tuple[Shape, Duel]


def loss_of(found: Found) -> float:
    return found[1].loss


def searched(rng: Random, *, draws: int, steps: int) -> tuple[list[Found], list[Found]]:
    """Return the loads drawn at random, and the worst that climbing from them found, the worst first."""
    drawn = [(shape, duel(shape)) for shape in (any_shape(rng) for _ in range(draws))]
    harness.progress(f"{draws} loads drawn, the worst loses {max(map(loss_of, drawn)):.1f}")
    climbers = sorted(drawn, key=loss_of, reverse=True)[:_CLIMBERS]
    for step in range(steps):
        place = step % len(climbers)
        shape = near(climbers[place][0], rng)
        climbers[place] = max(climbers[place], (shape, duel(shape)), key=loss_of)
    return drawn, sorted(climbers, key=loss_of, reverse=True)[:WORST]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1, help="of the search")


def main() -> None:
    options = harness.arguments(__doc__, add_options)
    os.sched_setaffinity(0, {harness.SERVER_CORE})
    draws, steps = (40, 40) if options.quick else (800, 800)
    drawn, worst = searched(Random(options.seed), draws=draws, steps=steps)
    losses = sorted(map(loss_of, drawn))
    rows = [
        harness.row("worst loss found", loss_of(worst[0]), "points"),
        harness.row("median loss of random loads", statistics.median(losses), "points", goal="value <= 0"),
        harness.row("95th percentile of it", losses[int(0.95 * (len(losses) - 1))], "points"),
        harness.row("random loads with a loss", 100 * sum(loss > 0 for loss in losses) / len(losses), "%"),
        harness.row("more violations, mean", statistics.fmean(found.violation_points for _, found in drawn), "points"),
        harness.row("more cold starts, mean", statistics.fmean(found.more_starts for _, found in drawn), "starts"),
        harness.row("replica time, mean", statistics.fmean(found.time_ratio for _, found in drawn), "of the paper's"),
    ]
    details = {
        "seed": options.seed,
        "worst": [
            {
                "shape": asdict(shape),
                "loss": found.loss,
                "violation_points": found.violation_points,
                "more_starts": found.more_starts,
                "time_ratio": found.time_ratio,
            }
            for shape, found in worst
        ],
    }
    harness.write_result(NAME, rows, details=details, options=options)


if __name__ == "__main__":
    main()
