"""`dilu policy replay` on the numbers of Knative's own tests: averages in (A, B), values in (E)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from replay.replaying import Lines, decisions


@dataclass(frozen=True, kw_only=True)
class Vector:
    """Lines of (t_s, ready, stable, panic) and what is decided on each: (desired, excess burst capacity)."""

    name: str
    target: float
    burst: float
    lines: tuple[tuple[float, int | None, float | None, float | None], ...]
    decided: tuple[tuple[int | None, int | None], ...]
    spec: dict[str, Any] = field(default_factory=dict)


VECTORS = [
    Vector(name="A1", target=10, burst=100, lines=((0, 1, 50, 50),), decided=((5, -137),)),
    Vector(name="A2", target=10, burst=100, lines=((61, 1, 100, 99),), decided=((10, -186),), spec={"metric": "rps"}),
    Vector(name="A3 A4", target=10, burst=101, lines=((0, 1, 50, 10), (0, 1, 100, 10)), decided=((5, -98), (10, -98))),
    Vector(name="A9 A10", target=10, burst=75, lines=((0, 1, 1, 0), (0, 1, 0, 0)), decided=((1, -62), (0, -62))),
    Vector(name="A13", target=10, burst=100, lines=((0, 1, 0, 0),), decided=((0, -87),)),
    Vector(name="A14", target=181, burst=-1, lines=((0, 1, 21, 26),), decided=((1, -1),)),
    Vector(name="A16", target=10, burst=100, lines=((0, 1, 50, 50),), decided=((5, -137),)),
    Vector(
        name="A17",
        target=1,
        burst=100,
        lines=((95, 5, 5, 10), (100, 5, 50, 30)),
        decided=((10, -104), (50, -124)),
        spec={"initial-ready": 5},
    ),
    Vector(
        name="A20",
        target=1,
        burst=1982,
        lines=((0, 2, 3, 3.1),),
        decided=((3, -1983),),
        spec={"max-scale-up-rate": 1.1},
    ),
    Vector(
        name="A21",
        target=10,
        burst=1982,
        lines=((0, 100, 1, 1),),
        decided=((90, -650),),
        spec={"max-scale-down-rate": 1.1},
    ),
    Vector(
        name="A24 A25",
        target=10,
        burst=61,
        lines=((0, 1, 1000, 1001), (0, 10, 1000, 1001)),
        decided=((10, -1049), (100, -929)),
    ),
    Vector(name="A28", target=10, burst=81, lines=((0, 0, 1000, 888),), decided=((10, -969),)),
    Vector(name="A31", target=10, burst=81, lines=((0, 1, None, None),), decided=((None, None),)),
    Vector(name="A32", target=10, burst=81, lines=((0, None, 1000, 888),), decided=((None, None),)),
    Vector(
        name="B1",
        target=1,
        burst=98,
        lines=((0, 10, 11, 25), (30, 40, 30, 41), (62, 55, 50, 56)),
        decided=((25, -110), (41, -86), (50, -81)),
    ),
    Vector(
        name="B3",
        target=1,
        burst=101,
        lines=((0, 1, 6, 6), (0, 6, 36, 36), (1, 36, 216, 216), (1, 216, 1296, 1296), (2, 1296, 1296, 1296)),
        decided=((6, -106), (36, -129), (216, -269), (1296, -1109), (1296, 331)),
    ),
    Vector(
        name="B5",
        target=10,
        burst=0,
        lines=tuple(
            (t_s, 0, load, load)
            for t_s, load in ((2, 40), (300, 0), (302, 0), (540, 40), (600, 30), (660, 0), (840, 0), (900, 0))
        ),
        decided=tuple((desired, 0) for desired in (4, 4, 0, 4, 4, 4, 3, 0)),
        spec={
            "total-value": 0,
            "panic-threshold-percentage": 10_000,
            "window": "0s",
            "scale-down-delay": "300s",
            "initial-ready": 0,
        },
    ),
]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_averages_give_knatives_decisions(vector: Vector, tmp_path: Path) -> None:
    spec = {
        "target-value": vector.target,
        "total-value": vector.target / 0.75,
        "target-burst-capacity": vector.burst,
        "panic-threshold-percentage": 200,
        "max-scale-up-rate": 10,
        "max-scale-down-rate": 10,
        "initial-ready": 1,
    }
    lines: Lines = [
        {"t_s": t_s, "ready": ready, "stable": stable, "panic": panic} for t_s, ready, stable, panic in vector.lines
    ]
    printed = decisions(tmp_path, lines, spec | vector.spec)
    assert [(one["desired"], one["excess_burst_capacity"]) for one in printed] == list(vector.decided)
    assert [one["t_s"] for one in printed] == [line["t_s"] for line in lines]
    assert [one["valid"] for one in printed] == [one["desired"] is not None for one in printed]


def test_b1_panic_is_over_when_the_surge_has_reached_the_stable_window(tmp_path: Path) -> None:
    spec = {"target-value": 1, "max-scale-up-rate": 10, "max-scale-down-rate": 10}
    lines: Lines = [
        {"t_s": 0, "ready": 10, "stable": 11, "panic": 25},
        {"t_s": 60, "ready": 40, "stable": 30, "panic": 41},
        {"t_s": 60.001, "ready": 55, "stable": 50, "panic": 56},
    ]
    assert [one["panicking"] for one in decisions(tmp_path, lines, spec)] == [True, True, False]


@pytest.mark.parametrize(("ready", "panicking", "desired"), [(0, False, 1), (1, False, 1), (2, True, 2)])
def test_b8_more_than_one_ready_pod_at_the_start_is_panic(
    ready: int, panicking: bool, desired: int, tmp_path: Path
) -> None:
    lines: Lines = [{"t_s": 0, "ready": 1, "stable": 1, "panic": 1}]
    (decided,) = decisions(tmp_path, lines, {"initial-ready": ready})
    assert (decided["panicking"], decided["desired"]) == (panicking, desired)


def test_e_the_two_windows_of_the_collector(tmp_path: Path) -> None:
    lines: Lines = [{"t_s": second, "ready": 20, "concurrency": second + 5, "rps": 0} for second in range(10)]
    lines.append({"t_s": 9, "ready": 20, "spec": {"target": 1}})
    printed = decisions(tmp_path, lines, {"window": "6s", "panic-window-percentage": 34}, "--tick", "9")
    assert (printed[-1]["t_s"], printed[-1]["stable"], printed[-1]["panic"]) == (9, 11.5, 13.5)


def test_e_values_of_one_second_add_up(tmp_path: Path) -> None:
    lines = [{"t_s": t_s, "ready": 1, "concurrency": load} for t_s, load in ((0, 1), (0.1, 10), (2, 0))]
    printed = decisions(tmp_path, lines, {"window": "6s"})
    assert [one["stable"] for one in printed] == [1.0, 3.666667]


def test_e_the_linear_window(tmp_path: Path) -> None:
    loads = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, None), (10, None), (11, None)]
    lines = [{"t_s": t_s, "ready": 1, "concurrency": load} for t_s, load in loads]
    printed = decisions(tmp_path, lines, {"window": "5s"})
    assert [(one["t_s"], one["stable"]) for one in printed] == [(0, 1), (2, 2), (4, 3), (6, 4), (8, 5), (10, None)]


def test_e_the_weighted_window(tmp_path: Path) -> None:
    lines = [{"t_s": second, "ready": 1, "concurrency": second} for second in range(1, 6)]
    lines.append({"t_s": 6, "ready": 1, "concurrency": 6})
    spec = {"window": "5s", "metric-aggregation-algorithm": "weighted-exponential"}
    printed = decisions(tmp_path, lines, spec, "--tick", "5")
    assert printed[-1]["t_s"] == 6
    assert printed[-1]["stable"] == pytest.approx(5.812, abs=5e-4)


def test_e_resizing(tmp_path: Path) -> None:
    lines: Lines = [{"t_s": second, "ready": 1, "concurrency": second + 1} for second in range(6)]
    lines += [
        {"t_s": 5, "spec": {"window": "10s"}},
        {"t_s": 6, "concurrency": 7},
        {"t_s": 6.5},
        {"t_s": 6.9, "spec": {"window": "4s"}},
        {"t_s": 7},
    ]
    printed = decisions(tmp_path, lines, {"window": "5s"}, "--tick", "0.5")
    by_time = {one["t_s"]: one["stable"] for one in printed}
    assert (by_time[4.5], by_time[5], by_time[5.5], by_time[6], by_time[6.5]) == (3, 4, 4, 4.5, 4.5)
    assert by_time[7] == 6  # (22 - 4) / 3: of four seconds one has passed
