"""What the paper's Table 3 prints, and what came out here."""

from __future__ import annotations

from typing import Final

from dilu_simulator.evaluation.comparisons import Basis, Better, Comparison
from dilu_simulator.evaluation.intervals import estimate
from dilu_simulator.evaluation.names import named
from dilu_simulator.evaluation.paper_values import TABLE3
from dilu_simulator.evaluation.table3_runs import EVEN, POISSON, Runs, cold_starts, saved, values_of, violations
from dilu_simulator.evaluation.tables import Shown

_WHY_VIOLATIONS: Final = (
    "depends on cold start time, objective and latency, of which the paper prints none for this experiment; and its "
    "replicas could go up to their limit while a new one starts, ours here cannot"
)
_WHY_STARTS: Final = "the paper's first start may be counted in; one further start of FaST-GS+ is unexplained"
_WHY_INFLESS: Final = "INFless's pre-warming is not published; ours is its keep-alive and its two rates only"
_WHY_SAVED: Final = "cold start time and keep-alive are not printed, and replicas of different sizes may be counted"


def claims(runs: Runs, trace: str) -> list[Comparison]:
    """On one trace."""
    found: list[Comparison] = []
    for policy, row in TABLE3[trace].items():
        whys = {"eager": _WHY_STARTS, "infless": _WHY_INFLESS}
        found.append(
            Comparison(
                claim=f"{trace}: cold starts, evenly spaced",
                policy=policy,
                ours=estimate(values_of(runs, trace, EVEN, policy, cold_starts)),
                paper=row.cold_starts,
                shown=Shown.COUNT,
                better=Better.EQUAL,
                basis=Basis.PREDICTED if policy == "infless" else Basis.FITTED,
                why=whys.get(policy, _WHY_STARTS),
            )
        )
        if row.saved_s is not None:
            found += [
                Comparison(
                    claim=f"{trace}: GPU seconds saved against {named(policy)}",
                    policy=by,
                    ours=saved(runs, trace, POISSON, policy, by),
                    paper=row.saved_s,
                    shown=Shown.SECONDS,
                    better=Better.HIGHER,
                    why=_WHY_SAVED,
                )
                for by in ("dilu-paper", "dilu")
            ]
    own = TABLE3[trace]["dilu-paper"]
    found += [
        Comparison(
            claim=f"{trace}: SLO violations",
            policy=policy,
            ours=estimate(values_of(runs, trace, POISSON, policy, violations)),
            paper=own.slo_violation_ratio,
            shown=Shown.PERCENT,
            better=Better.LOWER,
            why=_WHY_VIOLATIONS,
        )
        for policy in ("dilu-paper", "dilu")
    ]
    found.append(
        Comparison(
            claim=f"{trace}: cold starts",
            policy="dilu",
            ours=estimate(values_of(runs, trace, POISSON, "dilu", cold_starts)),
            paper=own.cold_starts,
            shown=Shown.COUNT,
            better=Better.LOWER,
            why="its starts are limited by what the paper's rule makes on the same arrivals",
        )
    )
    return found
