"""Goes through a file in its own time: one decision for each line of averages, or one at each tick over values."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from dilu.errors import ConfigError
from dilu.spec.fields import FieldError
from dilu_autoscaler.policy.horizontal import Decision
from dilu_autoscaler.replay.recorded_lines import LineKind, RecordedLine
from dilu_autoscaler.replay.scalers import Scaler
from dilu_autoscaler.replay.spec_keys import INITIAL_READY

MAX_GAP_S: Final = 7 * 86_400.0
"""Between two lines with values: there is a decision at each tick between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One decision of a replay."""

    t_s: float
    decision: Decision

    def to_json(self) -> dict[str, object]:
        """Return the keys that are printed."""
        decision = self.decision
        return {
            "t_s": self.t_s,
            "desired": decision.replicas,
            "excess_burst_capacity": decision.excess_burst_capacity,
            "panicking": decision.panicking,
            "stable": decision.stable,
            "panic": decision.panic,
            "valid": decision.replicas is not None,
            "reason": decision.reason,
        }


def replayed(
    lines: Iterable[RecordedLine], scaler: Scaler, keys: Mapping[str, object], *, tick_s: float
) -> Iterator[Decided]:
    """Yield the decisions on the lines, for a function whose spec starts with these keys."""
    first: list[RecordedLine] = []
    kind: LineKind | None = None
    rest = iter(lines)
    for line in rest:
        first.append(line)
        kind = line.kind
        if kind is not None:
            break
    run = _ReplayRun(scaler, dict(keys))
    all_lines = itertools.chain(first, rest)
    return _each_line(all_lines, run) if kind is LineKind.AVERAGES else _each_tick(all_lines, run, tick_s)


class _ReplayRun:
    """A scaler with its spec and its time."""

    def __init__(self, scaler: Scaler, keys: dict[str, object]) -> None:
        self._scaler = scaler
        self._keys = keys
        self.now_s: float | None = None

    def take(self, line: RecordedLine) -> None:
        """Let the scaler have the line: first what it changes, then what was seen."""
        is_first, self.now_s = self.now_s is None, line.t_s if self.now_s is None else max(self.now_s, line.t_s)
        if is_first or line.spec:
            self._change(line, self.now_s, is_first=is_first)
        self._scaler.feed(line, self.now_s)

    def _change(self, line: RecordedLine, now_s: float, *, is_first: bool) -> None:
        self._keys.update(line.spec)
        position = line.position
        with position.locating("spec."):
            if INITIAL_READY in line.spec and not is_first:
                raise FieldError(INITIAL_READY, "counts when the scaler is made, so only the first line may say it")
            try:
                self._scaler.change(self._keys, now_s)
            except FieldError:
                raise
            except ConfigError as error:
                raise ConfigError(f"{position.file}:{position.line}: spec: {error}") from None

    def decided(self, t_s: float) -> Decided:
        """Return the scaler's decision at that time."""
        return Decided(t_s=t_s, decision=self._scaler.decide(t_s))


def _each_line(lines: Iterable[RecordedLine], run: _ReplayRun) -> Iterator[Decided]:
    for line in lines:
        if run.now_s is not None and line.t_s < run.now_s:
            rule = f"must not go back; the line before is at {run.now_s}"
            raise line.position.locate(FieldError("t_s", rule, line.t_s))
        run.take(replace(line, kind=LineKind.AVERAGES))  # one without any has no data
        yield run.decided(line.t_s)


def _each_tick(lines: Iterable[RecordedLine], run: _ReplayRun, tick_s: float) -> Iterator[Decided]:
    """Yield a decision at each tick; a line counts before the tick of its own time, a late one in its second."""
    ticks: Iterator[float] = iter(())
    next_s = 0.0
    for line in lines:
        if run.now_s is None:
            ticks = _ticks(line.t_s, tick_s)
            next_s = next(ticks)
        elif line.t_s > run.now_s + MAX_GAP_S:
            rule = f"is more than a week after the line before ({run.now_s}); t_s is in seconds"
            raise line.position.locate(FieldError("t_s", rule, line.t_s))
        while next_s < line.t_s:
            yield run.decided(next_s)
            next_s = next(ticks)
        run.take(line)
    while run.now_s is not None and next_s <= run.now_s:
        yield run.decided(next_s)
        next_s = next(ticks)


def _ticks(first_s: float, tick_s: float) -> Iterator[float]:
    """Not summed up, so that no rounding adds up."""
    return (first_s + number * tick_s for number in itertools.count())
