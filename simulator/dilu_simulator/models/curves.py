"""How long work takes at a share of a GPU: a launch-bound floor blended with work that shrinks with the share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from dilu.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SoloCurve:
    """A batch of B items at share s (0..1) takes `[(a + c B)^p + ((d + b B) / s)^p]^(1/p)` milliseconds, alone.

    >>> round(SoloCurve(a_ms=10.0, c_ms=0.0, d_ms=0.0, b_ms=5.0, p=1.0).execution_ms(4, 0.5), 6)
    50.0
    """

    a_ms: float
    c_ms: float
    d_ms: float
    b_ms: float
    p: float

    def __post_init__(self) -> None:
        for name in ("a_ms", "c_ms", "d_ms", "b_ms"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"curve: {name} = {getattr(self, name)}, must be a finite number of at least 0")
        if not 1.0 <= self.p < math.inf:
            raise ConfigError(f"curve: p = {self.p}, must be a finite number of at least 1")

    def execution_ms(self, size: float, share: float) -> float:
        """How long a batch of that size takes."""
        return _blended(self.a_ms + self.c_ms * size, (self.d_ms + self.b_ms * size) / share, self.p)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillCurve:
    """N prompt tokens at share s take `[a^p + (k N / s)^p]^(1/p)` milliseconds, alone."""

    a_ms: float
    per_token_ms: float
    p: float

    def execution_ms(self, tokens: float, share: float) -> float:
        """Return the time that `tokens` prompt tokens take."""
        return _blended(self.a_ms, self.per_token_ms * tokens / share, self.p)


def training_curve(iteration_ms: float, request_milli: int, p: float = 3.0) -> SoloCurve:
    """Return the curve of one training iteration: `iteration_ms` on a whole GPU, 80 % of that speed at the request.

    That is how the paper's profiler finds the request. With x = (work / floor)^p, the 80 % say
    1 + x = 0.8^p (1 + x / r^p).

    >>> curve = training_curve(100.0, 300)
    >>> round(curve.execution_ms(1, 1.0), 6), round(curve.execution_ms(1, 0.3), 6)
    (100.0, 125.0)
    """
    kept = 0.8**p
    ratio = request_milli / 1000
    if not 0.0 < ratio < 0.8:
        raise ConfigError(f"training request = {request_milli} milli-GPU, must be above 0 and below 800")
    work = (1.0 - kept) / (kept / ratio**p - 1.0)
    floor_ms = iteration_ms / (1.0 + work) ** (1.0 / p)
    return SoloCurve(a_ms=floor_ms, c_ms=0.0, d_ms=floor_ms * work ** (1.0 / p), b_ms=0.0, p=p)


def co_running(running: int) -> float:
    """Return the slowdown with `running` executions on one GPU: caches, and a lower clock beyond three.

    >>> co_running(1), co_running(2), round(co_running(4), 4)
    (1.0, 1.04, 1.1382)
    """
    if running <= 1:
        return 1.0
    return (1.0 + 0.04 * (running - 1)) / max(0.1, 1.0 - 0.016 * max(0, running - 3))


CO_RUNNING: Final = tuple(co_running(running) for running in range(65))
"""The same, by number."""


def _blended(floor_ms: float, work_ms: float, p: float) -> float:
    """Return the p-norm, relative to the larger value so that no power overflows."""
    larger, smaller = (work_ms, floor_ms) if work_ms > floor_ms else (floor_ms, work_ms)
    if larger <= 0.0:
        return 0.0
    return float(larger * (1.0 + (smaller / larger) ** p) ** (1.0 / p))
