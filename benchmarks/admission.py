"""Goodput at three times the load that a replica can serve, beside mosec and LitServe.

    python benchmarks/admission.py [--quick]

The model takes 5 ms + 0.5 ms an item, a batch holds 16, the objective is 60 ms (`apps/linear_kernel.py`): the model can
serve 1,231 requests a second. Goodput counts the answers within the objective, from the time at which the request was
due. Its peak is the best of a sweep at and below that rate; then three times that rate is offered. Open loop, Poisson
arrivals, every server on one core; each contender has the same warm-up, the same loads and the same repeats.

Each peer runs as it comes and at its best settings. These are searched first, by goodput under the overload, one
option after another (`admission_comparison/contenders.py` lists the values); the best of the search are measured in
full, and the better one of them counts. The result keeps every setting that was tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import harness
from admission_comparison.contenders import AS_THEY_COME, CHOICES, OURS, QUICK_CHOICES, Choices, Contender
from admission_comparison.loads import CAPACITY_RPS, Plan, Seen, measure_once
from apps.linear_kernel import SLO_S
from harness import BenchmarkError
from harness.search import Setting, TriedSetting, search

NAME: Final = "admission"
PACKAGES: Final = ("dilu", "uvicorn", "uvloop", "mosec", "litserve", "msgspec")
OVERLOAD: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured; the last load of `plan` is the overload."""

    repeats: int
    plan: Plan
    search_plan: Plan
    finalists: int  # settings of each peer that are measured in full


FULL: Final = Sizes(
    repeats=3,
    plan=Plan(loads=(0.7, 0.8, 0.9, 0.95, 1.0, OVERLOAD), seconds=5.0, settle_s=1.0, warm_up_s=2.0, max_wait_s=5.0),
    search_plan=Plan(loads=(OVERLOAD,), seconds=3.0, settle_s=1.0, warm_up_s=2.0, max_wait_s=5.0),
    finalists=2,
)
QUICK: Final = Sizes(
    repeats=1,
    plan=Plan(loads=(0.9, OVERLOAD), seconds=1.6, settle_s=0.6, warm_up_s=1.0, max_wait_s=1.0),
    search_plan=Plan(loads=(OVERLOAD,), seconds=1.2, settle_s=0.6, warm_up_s=1.0, max_wait_s=1.0),
    finalists=1,
)

Found = dict[str, list[list[Seen]]]  # by contender, then by repeat


def search_all(choices: Mapping[str, Choices], sizes: Sizes) -> dict[str, list[TriedSetting[Seen]]]:
    """Search the settings of each peer, by goodput under the overload; of those without any, by answers."""
    found = {}
    for system, peer in choices.items():
        harness.progress(f"{system}: searching its best setting at {OVERLOAD:g} x")

        def overload(setting: Setting, peer: Choices = peer) -> Seen:
            return measure_once(peer.make(setting), 0, sizes.search_plan)[-1]

        def score(seen: Seen) -> tuple[float, ...]:
            return seen.goodput_rps, seen.accepted_rps

        found[system] = search(peer.first, peer.options, measure=overload, score=score)
    return found


def measure(contenders: Mapping[str, Contender], sizes: Sizes, left_out: dict[str, str]) -> Found:
    """Measure each contender that runs; in each repeat all of them have the same arrivals."""
    turns = dict.fromkeys(contenders, 0)

    def once(name: str) -> list[Seen] | None:
        turns[name] += 1
        try:
            return None if name in left_out else measure_once(contenders[name], turns[name], sizes.plan)
        except BenchmarkError as error:
            if name == OURS:
                raise
            left_out[name] = str(error)
            return None

    found = harness.interleaved(tuple(contenders), once, sizes.repeats)
    return {name: [one for one in seen if one is not None] for name, seen in found.items() if name not in left_out}


def at(repeats: Sequence[Sequence[Seen]], load: float, key: str) -> list[float]:
    """Return one number at one load, for each repeat."""
    return [getattr(seen, key) for repeat in repeats for seen in repeat if seen.load == load]


def peaks_rps(repeats: Sequence[Sequence[Seen]]) -> list[float]:
    """Return the best goodput at and below the capacity, for each repeat."""
    return [max(seen.goodput_rps for seen in repeat if seen.load <= 1.0) for repeat in repeats]


def best_names(found: Found, contenders: Mapping[str, Contender]) -> dict[str, str]:
    """Return the best searched contender of each peer: the one with the highest median goodput under the overload."""
    best: dict[str, str] = {}
    for name in found:
        system = contenders[name].system
        if system != OURS and contenders[name] not in AS_THEY_COME:
            goodput = harness.median(at(found[name], OVERLOAD, "goodput_rps"))
            if system not in best or goodput > harness.median(at(found[best[system]], OVERLOAD, "goodput_rps")):
                best[system] = name
    return best


def rows(found: Found, contenders: Mapping[str, Contender]) -> list[dict[str, object]]:
    """Return ours beside our own peak and the objective, then beside each peer as it comes and at its best."""
    good = at(found[OURS], OVERLOAD, "goodput_rps")
    p99_ms = at(found[OURS], OVERLOAD, "p99_ms")
    table = [
        harness.row(
            "goodput at 3 x", good, "rps", peer="own peak", peer_value=peaks_rps(found[OURS]), goal="ratio >= 0.95"
        ),
        harness.row("goodput at 3 x", good, "rps", peer="model", peer_value=CAPACITY_RPS),
        harness.row("p99 of accepted at 3 x", p99_ms, "ms", goal=f"value <= {SLO_S * 1e3:g}"),
    ]
    best = best_names(found, contenders).values()
    for peer in [one.name for one in AS_THEY_COME if one.name in found and one.name != OURS] + list(best):
        theirs = at(found[peer], OVERLOAD, "goodput_rps")
        goal = "ratio >= 1" if harness.median(theirs) else None  # beside a peer without any goodput there is no ratio
        table.append(harness.row("goodput at 3 x", good, "rps", peer=peer, peer_value=theirs, goal=goal))
        their_p99_ms = at(found[peer], OVERLOAD, "p99_ms")
        table.append(harness.row("p99 of accepted at 3 x", p99_ms, "ms", peer=peer, peer_value=their_p99_ms))
        table.append(
            harness.row("peak goodput", peaks_rps(found[OURS]), "rps", peer=peer, peer_value=peaks_rps(found[peer]))
        )
    return table


def described(trial: TriedSetting[Seen]) -> dict[str, object]:
    """Return one trial of a search for the result file."""
    return {"setting": dict(trial.setting), "seen": None if trial.outcome is None else asdict(trial.outcome)}


def main() -> None:
    options = harness.arguments(__doc__)
    harness.pin_client()
    harness.raise_open_files(10_000)
    sizes, choices = (QUICK, QUICK_CHOICES) if options.quick else (FULL, CHOICES)
    searched = search_all(choices, sizes)
    best = {system: trials[: sizes.finalists] for system, trials in searched.items()}
    finalists = [choices[system].make(trial.setting) for system, trials in best.items() for trial in trials]
    contenders = {one.name: one for one in (*AS_THEY_COME, *finalists)}
    left_out: dict[str, str] = {}
    found = measure(contenders, sizes, left_out)
    details = {
        "capacity_rps": CAPACITY_RPS,
        "search": {system: [described(trial) for trial in trials] for system, trials in searched.items()},
        "repeats": {name: [[asdict(seen) for seen in one] for one in repeats] for name, repeats in found.items()},
        "left_out": left_out,
        "sizes": asdict(sizes),
    }
    harness.write_result(NAME, rows(found, contenders), details=details, options=options, packages=PACKAGES)


if __name__ == "__main__":
    main()
