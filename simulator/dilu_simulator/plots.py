"""A picture of a run over time. Needs matplotlib, which nothing else here does."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from dilu.errors import ConfigError
from dilu_simulator.results import Results, TimelineRow

_MAX_LINES = 12
"""More functions are drawn as their sum."""


def plot_timeline(results: Results, path: str | Path) -> None:
    """Draw requests, violations, replicas and granted GPUs over time; the file's suffix decides (png, svg, pdf)."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(4, 1, sharex=True, figsize=(10, 9), layout="constrained")
    try:
        every_s = results.timeline[0].t_s if results.timeline else 1.0
        for name, rows in _lines(results).items():
            times = [row.t_s for row in rows]
            _draw(axes[0], times, [row.requests / every_s for row in rows], name)
            _draw(axes[1], times, [row.violations / every_s for row in rows], name)
            _draw(axes[2], times, [row.ready + row.starting for row in rows], name)
            _draw(axes[3], times, [row.granted_gpu_seconds / every_s for row in rows], name)
        for axis, title in zip(axes, ("requests / s", "violations / s", "replicas", "GPUs granted"), strict=True):
            axis.set_ylabel(title)
            axis.set_ylim(bottom=0)
        axes[-1].set_xlabel("s")
        if results.timeline:
            axes[0].legend(fontsize="small", ncols=4)
        axes[0].set_title(f"{results.scenario}: policy {results.policy}, vertical {results.vertical}")
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--plot {path}: {error}") from error
    finally:
        plt.close(figure)


def _lines(results: Results) -> dict[str, list[TimelineRow]]:
    by_name: dict[str, list[TimelineRow]] = defaultdict(list)
    for row in results.timeline:
        by_name[row.function].append(row)
    return by_name if len(by_name) <= _MAX_LINES else {"all": _summed(results.timeline)}


def _summed(rows: tuple[TimelineRow, ...]) -> list[TimelineRow]:
    by_time: dict[float, list[TimelineRow]] = defaultdict(list)
    for row in rows:
        by_time[row.t_s].append(row)
    return [
        TimelineRow(
            t_s=t_s,
            function="all",
            requests=sum(row.requests for row in at),
            violations=sum(row.violations for row in at),
            ready=sum(row.ready for row in at),
            starting=sum(row.starting for row in at),
            granted_gpu_seconds=sum(row.granted_gpu_seconds for row in at),
        )
        for t_s, at in by_time.items()
    ]


def _draw(axis: Any, times: list[float], values: list[float] | list[int], name: str) -> None:
    axis.step(times, values, where="pre", label=name, linewidth=1)
