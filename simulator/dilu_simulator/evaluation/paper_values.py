"""What the paper prints (Dilu, ASPLOS'25, arXiv 2503.05130v1), and where.

Only text, tables and labels on bars. What a figure shows as a picture alone is left out, not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperValue:
    """A printed number, or a printed range; ratios are 0..1."""

    low: float
    high: float
    where: str


def printed(value: float, where: str) -> PaperValue:
    """One number."""
    return PaperValue(low=value, high=value, where=where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table3Row:
    """One system on one trace."""

    cold_starts: PaperValue
    slo_violation_ratio: PaperValue
    saved_s: PaperValue | None
    """GPU time that Dilu saved against it. None: it is Dilu."""


def _row(cold_starts: int, violation_percent: float, saved_s: float | None) -> Table3Row:
    where = "Table 3"
    return Table3Row(
        cold_starts=printed(cold_starts, where),
        slo_violation_ratio=printed(violation_percent / 100, where),
        saved_s=None if saved_s is None else printed(saved_s, where),
    )


TABLE3: Final[Mapping[str, Mapping[str, Table3Row]]] = {
    "bursty": {
        "eager": _row(40, 10.79, 715.4),
        "infless": _row(27, 6.28, 433.6),
        "dilu-paper": _row(7, 1.79, None),
    },
    "periodic": {
        "eager": _row(41, 19.25, 650.4),
        "infless": _row(27, 11.09, 346.8),
        "dilu-paper": _row(11, 9.85, None),
    },
    "sporadic": {
        "eager": _row(4, 7.57, 65.0),
        "infless": _row(11, 5.17, 216.8),
        "dilu-paper": _row(1, 2.33, None),
    },
}
"""By trace and by our name of the policy; eager is the paper's FaST-GS+, infless its INFless+."""

TRAINING_BESIDE_INFERENCE: Final = printed(0.972, "§5.2, Fig 7")
"""Training throughput of Exclusive's."""
P50_BESIDE_TRAINING: Final = printed(1.24, "§5.2, Fig 7")
P95_BESIDE_TRAINING: Final = printed(1.28, "§5.2, Fig 7")
"""Times Exclusive's."""
GPUS_BESIDE_TRAINING: Final = printed(0.5, "§5.2, Fig 7")
"""GPUs of Exclusive's."""
TGS_P50_INFERENCE: Final = printed(442.0, "§5.2, Fig 8")
TGS_P95_INFERENCE: Final = printed(405.0, "§5.2, Fig 8")
"""TGS's, times Dilu's."""
P95_OF_STATIC_LIMIT: Final = printed(0.75, "§5.2, Fig 8")
"""Dilu's, times MPS-l's."""
LLAMA_P95_OF_STATIC_LIMIT: Final = printed(1.06, "§5.2, Fig 8")
"""Dilu's, times MPS-l's: less than that."""
TRAINING_PAIR: Final = printed(1.76, "§5.2, Fig 9")
"""The sum of the two jobs' throughputs, each over its own on Exclusive."""
TRAINING_PAIR_OVER_LIMIT: Final = PaperValue(low=1.10, high=1.14, where="§5.2, Fig 9")
TRAINING_PAIR_OVER_REQUEST: Final = PaperValue(low=1.03, high=1.14, where="§5.2, Fig 9")
"""Dilu's sum, times that of MPS-l and of MPS-r."""

GAMMA_P95: Final[Mapping[str, PaperValue]] = {
    "RoBERTa-large": PaperValue(low=1.06, high=1.29, where="§5.2, Fig 10"),
    "GPT2-large": PaperValue(low=1.07, high=1.09, where="§5.2, Fig 10"),
}
"""Dilu's p95, times Exclusive's, over all CVs."""
GAMMA_AT_6: Final[Mapping[str, PaperValue]] = {
    "static-limit": printed(2.08, "§5.2, Fig 10"),
    "static-request": printed(4.76, "§5.2, Fig 10"),
}
"""p95 times Dilu's at CV 6; it is not said of which model."""

LOW_LOAD_TRAINING: Final = printed(0.85, "§5.2, Fig 13")
"""MPS-r's training, times Dilu's, at low load."""
FLUCTUATING_P95: Final = printed(3.1, "§5.2, Fig 13")
"""MPS-r's p95, times Dilu's, under fluctuating load."""

END_TO_END_VIOLATIONS: Final[Mapping[str, PaperValue]] = {
    name: printed(percent / 100, "Fig 15a, labels")
    for name, percent in {
        "Exclusive": 2.30,
        "INFless+-l": 5.17,
        "INFless+-r": 9.80,
        "Dilu": 3.93,
        "Dilu -VS": 10.10,
        "Dilu -RC": 3.27,
        "Dilu -WA": 5.27,
    }.items()
}
WITHOUT_VERTICAL: Final = printed(2.58, "§5.4: +158 %")
"""Violations without vertical scaling, times those with it."""
EXCLUSIVE_GPUS: Final = printed(1.5, "§5.4")
"""Exclusive's GPUs, times Dilu's."""
