"""Random lives of a scaler, as Knative's peer in `go/` reads them: specs, loads, gaps. Same seed, same cases."""

from __future__ import annotations

import random
from typing import Any, TypeAlias

Case: TypeAlias = dict[str, Any]
Step: TypeAlias = dict[str, Any]
US_PER_S = 1_000_000
_MAX_S = 3600


def random_case(rng: random.Random, *, evaluations: int) -> Case:
    """One scaler, from its creation until it has decided a number of times."""
    return _Life(rng).case(evaluations)


class _Life:
    """Writes the steps of one case."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._spec = _random_spec(rng)
        # A grid of whole milliseconds, or of seconds, so that many times are equal or exactly a window apart.
        self._grain_us = rng.choice([US_PER_S, 500_000, 1000, 1])
        self._now_us = self._aligned(rng.randrange(0, 100_000 * US_PER_S))
        self._ready: int | None = rng.choice([None, 0, 0, 1, 1, 2, 3, 10, 200])
        self._load = 0.0
        self._steps: list[Step] = []

    def case(self, evaluations: int) -> Case:
        first = {"t_us": self._now_us, "ready": self._ready, "spec": dict(self._spec)}
        if self._ready is None:
            self._add("ready", ready=(ready := self._rng.randrange(3)))
            self._ready = ready
        done = 0
        while done < evaluations:
            done += self._go_on()
        return {**first, "steps": self._steps}

    def _go_on(self) -> int:
        """A stretch of the life with one kind of load; how many evaluations it has."""
        rng = self._rng
        if rng.random() < 0.3:
            self._change_spec()
        if rng.random() < 0.25:
            self._pass(self._gap_s())
        self._load = rng.choice([0.0, 0.0, 1.0, rng.uniform(0, 10), rng.uniform(0, 300), 10 ** rng.uniform(-6, 6)])
        repeats, reports = rng.randrange(1, 12), rng.choice([0, 1, 1, 1, 2, 4])
        for _ in range(repeats):
            for _ in range(reports):
                self._record()
            self._move_ready()
            self._add("scale")
            self._pass(rng.choice([2.0, 2.0, 2.0, 1.0, 1.0, 0.0, rng.uniform(0, 3)]))
        return repeats

    def _record(self) -> None:
        rng = self._rng
        spread = rng.choice([0.0, 0.0, 1.0])
        concurrency = max(0.0, self._load * (1 + spread * rng.uniform(-1, 2)))
        count = rng.choice([0.0, concurrency, float(rng.randrange(200)), concurrency * rng.uniform(0, 9)])
        share = rng.choice([0.0, 0.0, 0.0, 1.0, rng.random(), 1.01])
        back_s = rng.choice([0, 0, 0, 0, 0, 0, 1, 2, rng.randrange(-2, self._window_s() + 3)])
        self._add(
            "record",
            at_us=max(0, self._now_us - back_s * US_PER_S),
            concurrency=concurrency,
            proxied=concurrency * share,
            count=count,
            proxied_count=count * share,
        )

    def _move_ready(self) -> None:
        rng = self._rng
        if rng.random() < 0.3:
            ready = self._ready or 0
            self._ready = rng.choice(
                [None, 0, ready + 1, max(0, ready - 1), ready * 2, ready // 2, rng.randrange(60), 1]
            )
            self._add("ready", ready=self._ready)

    def _change_spec(self) -> None:
        """All of it, or one part, as a person edits it; the aggregation may change too, without effect."""
        new = _random_spec(self._rng)
        if self._rng.random() < 0.5:
            self._spec = new
        else:
            part = self._rng.choice(list(new))
            self._spec = {**self._spec, part: new[part]}
        self._add("spec", spec=dict(self._spec))

    def _gap_s(self) -> float:
        """As long as a window, a little more, a little less; or short, or very long."""
        rng, window_s = self._rng, self._window_s()
        near = window_s + rng.choice([-1, 0, 0, 1, 2])
        return float(max(0, rng.choice([near, near, 3, 10, 61, window_s // 2, 2 * window_s, 4000])))

    def _window_s(self) -> int:
        text = self._spec["annotations"].get("window") or self._spec["config"].get("stable-window", "60s")
        return int(text.removesuffix("s"))

    def _pass(self, seconds: float) -> None:
        self._now_us = self._aligned(self._now_us + round(seconds * US_PER_S))

    def _aligned(self, time_us: int) -> int:
        return time_us - time_us % self._grain_us

    def _add(self, do: str, **keys: Any) -> None:
        self._steps.append({"do": do, "t_us": self._now_us, **keys})


def _random_spec(rng: random.Random) -> dict[str, Any]:
    return {
        "config": _some(rng, 0.3, _config(rng)),
        "annotations": _some(rng, 0.4, _annotations(rng)),
        "container_concurrency": rng.choice([0, 0, 0, 1, 5, 100]),
        "reachable": rng.random() < 0.85,
    }


def _some(rng: random.Random, share: float, values: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if rng.random() < share}


def _config(rng: random.Random) -> dict[str, str]:
    return {
        "container-concurrency-target-percentage": rng.choice(["70", "100", "0.5", "33.3", "1"]),
        "container-concurrency-target-default": rng.choice(["100", "7", "1.5"]),
        "requests-per-second-target-default": rng.choice(["200", "33.3"]),
        "target-burst-capacity": rng.choice(["211", "0", "-1", "70", "0.5"]),
        "stable-window": rng.choice(["60s", "6s", "25s", "90s"]),
        "panic-window-percentage": rng.choice(["10", "1", "33", "51", "100", "12.5"]),
        "panic-threshold-percentage": rng.choice(["200", "110", "1000", "333.3"]),
        "max-scale-up-rate": rng.choice(["1000", "10", "1.1", "2", "3.3"]),
        "max-scale-down-rate": rng.choice(["2", "1.1", "10", "1.7"]),
        "scale-down-delay": rng.choice(["0s", "5s", "30s", "61s"]),
    }


def _annotations(rng: random.Random) -> dict[str, str]:
    return {
        "metric": rng.choice(["concurrency", "rps"]),
        "target": rng.choice(["1", "10", "0.01", "3.7", "150"]),
        "target-utilization-percentage": rng.choice(["70", "100", "1", "66.7"]),
        "target-burst-capacity": rng.choice(["-1", "0", "10", "200"]),
        "window": rng.choice(["60s", "6s", "7s", "10s", "41s", "42s", "120s", f"{rng.randrange(1, 70)}s", _long(rng)]),
        "panic-window-percentage": rng.choice(["10", "20", "50", "99.9"]),
        "panic-threshold-percentage": rng.choice(["110", "150", "200", "1000"]),
        "activation-scale": rng.choice(["2", "5"]),
        "scale-down-delay": rng.choice(["0s", "1s", "3s", "20s", "300s"]),
        "metric-aggregation-algorithm": rng.choice(["", "linear", "weighted-exponential", "weighted-exponential"]),
    }


def _long(rng: random.Random) -> str:
    return f"{rng.choice([600, _MAX_S])}s"
