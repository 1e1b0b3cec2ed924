"""What the paper prints of two tenants on one GPU, and what came out here."""

from __future__ import annotations

from typing import Final

from dilu_simulator.evaluation import paper_values
from dilu_simulator.evaluation.collocation_runs import (
    BESIDE_TRAINING,
    INFERENCE_PAIRS,
    TRAINING_PAIRS,
    Runs,
    Value,
    beside_training,
    gpus,
    inference_pair,
    mean_times,
    p50,
    p95,
    sum_of_ratios,
    times,
    training_pair,
    training_ratio,
    values_of,
)
from dilu_simulator.evaluation.comparisons import Better, Comparison
from dilu_simulator.evaluation.intervals import estimate
from dilu_simulator.evaluation.paper_values import PaperValue
from dilu_simulator.evaluation.tables import Shown

_OURS: Final = ("dilu-paper", "dilu")
_WHY_TRAINING: Final = {
    "dilu-paper": "while both have work the paper's rule lets training keep the share that it had last; it comes from "
    "its request and grows only while inference was idle for 0.5 s, which at these rates is seldom",
    "dilu": "two tenants at work are assumed to slow each other down by 4 %, and inference runs at up to its limit",
}
_WHY_TGS: Final = (
    "queues grow without bound behind TGS, so the factor grows with the length of the run: ours lasts 120 s"
)
_WHY_LIMIT: Final = (
    "at these rates there is hardly a queue, and MPS-l's limits add up to little more than the GPU, so there is "
    "nothing to gain over it; the paper's rates for these pairs are not printed"
)
_WHY_PAIR: Final = "as fast as two assumed curves on one GPU are; the paper prints neither curves nor pairs"
_WHY_PAIR_LIMIT: Final = (
    "MPS-l's two limits add up to 1.5 GPUs and share one in proportion here, at no loss; what kernels that collide "
    "cost is not in the model"
)


def claims(runs: Runs) -> tuple[Comparison, ...]:
    """All of them."""
    return (*_beside_training(runs), *_inference_pairs(runs), *_training_pairs(runs))


def _beside_training(runs: Runs) -> list[Comparison]:
    by_model = {model: beside_training(model) for model in BESIDE_TRAINING}
    rows: tuple[tuple[str, list[tuple[str, Value]], PaperValue, Shown, Better], ...] = (
        (
            "beside training: p50 of exclusive's",
            [(name, p50(model.lower())) for model, name in by_model.items()],
            paper_values.P50_BESIDE_TRAINING,
            Shown.TIMES,
            Better.LOWER,
        ),
        (
            "beside training: p95 of exclusive's",
            [(name, p95(model.lower())) for model, name in by_model.items()],
            paper_values.P95_BESIDE_TRAINING,
            Shown.TIMES,
            Better.LOWER,
        ),
        (
            "beside inference: training of exclusive's",
            [(name, training_ratio) for name in by_model.values()],
            paper_values.TRAINING_BESIDE_INFERENCE,
            Shown.PERCENT,
            Better.HIGHER,
        ),
        (
            "beside training: GPUs of exclusive's",
            [(name, gpus) for name in by_model.values()],
            paper_values.GPUS_BESIDE_TRAINING,
            Shown.PERCENT,
            Better.LOWER,
        ),
    )
    return [
        Comparison(
            claim=claim,
            policy=policy,
            ours=mean_times(runs, values, policy),
            paper=paper,
            shown=shown,
            better=better,
            why=_WHY_TRAINING[policy],
        )
        for policy in _OURS
        for claim, values, paper, shown, better in rows
    ]


def _inference_pairs(runs: Runs) -> list[Comparison]:
    names = [inference_pair(one, other) for one, other in INFERENCE_PAIRS]
    second = [other.lower() for _, other in INFERENCE_PAIRS]
    both = [(name, p95(model.lower())) for name, pair in zip(names, INFERENCE_PAIRS, strict=True) for model in pair]
    llama, llama_p95 = names[-1], p95(second[-1])
    found: list[Comparison] = []
    for policy in _OURS:
        for percent, value, paper in (
            ("p50", p50, paper_values.TGS_P50_INFERENCE),
            ("p95", p95, paper_values.TGS_P95_INFERENCE),
        ):
            values = [(name, value(model)) for name, model in zip(names, second, strict=True)]
            found.append(
                Comparison(
                    claim=f"inference pairs: TGS's {percent} of the second model, of ours",
                    policy=policy,
                    ours=mean_times(runs, values, "tgs", policy),
                    paper=paper,
                    shown=Shown.TIMES,
                    better=Better.HIGHER,
                    why=_WHY_TGS,
                )
            )
        found += [
            Comparison(
                claim="inference pairs: p95 of MPS-l's",
                policy=policy,
                ours=mean_times(runs, both, policy, "static-limit"),
                paper=paper_values.P95_OF_STATIC_LIMIT,
                shown=Shown.TIMES,
                better=Better.LOWER,
                why=_WHY_LIMIT,
            ),
            Comparison(
                claim="LLaMA2-7B beside inference: p95 of MPS-l's",
                policy=policy,
                ours=times(runs, llama, policy, llama_p95, "static-limit"),
                paper=paper_values.LLAMA_P95_OF_STATIC_LIMIT,
                shown=Shown.TIMES,
                better=Better.LOWER,
                why="the paper's rule takes contention for granted and gives the request as soon as both have work",
            ),
        ]
    return found


def _training_pairs(runs: Runs) -> list[Comparison]:
    sums = [(training_pair(one, other), sum_of_ratios) for one, other in TRAINING_PAIRS]
    found: list[Comparison] = []
    for policy in _OURS:
        alone = [estimate(values_of(runs, name, policy, value)) for name, value in sums]
        found += [
            Comparison(
                claim="training pairs: sum of exclusive's",
                policy=policy,
                ours=estimate([sum(value.mean for value in alone if value) / len(alone)]),
                paper=paper_values.TRAINING_PAIR,
                shown=Shown.PERCENT,
                better=Better.HIGHER,
                why=_WHY_PAIR,
            ),
            *(
                Comparison(
                    claim=f"training pairs: sum of {label}'s",
                    policy=policy,
                    ours=mean_times(runs, sums, policy, other),
                    paper=paper,
                    shown=Shown.TIMES,
                    better=Better.HIGHER,
                    why=_WHY_PAIR_LIMIT if other == "static-limit" else _WHY_PAIR,
                )
                for label, other, paper in (
                    ("MPS-l", "static-limit", paper_values.TRAINING_PAIR_OVER_LIMIT),
                    ("MPS-r", "static-request", paper_values.TRAINING_PAIR_OVER_REQUEST),
                )
            ),
        ]
    return found
