"""Figures as PNG files. Needs matplotlib, which nothing else here does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from dilu.errors import ConfigError
from dilu_simulator.evaluation.figures import PAPER, Figure, Mark, Panel, Series
from dilu_simulator.evaluation.intervals import Estimate

_STYLE: Final = {
    "font.size": 8,
    "savefig.dpi": 75,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_PANEL_INCHES: Final = (4.2, 3.1)


def draw(figure: Figure, path: Path) -> None:
    """Return the figure as PNG; the same figure gives the same bytes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    across = min(2, len(figure.panels)) if len(figure.panels) != 3 else 3
    down = -(-len(figure.panels) // across)
    width, height = _PANEL_INCHES
    with mpl.rc_context(_STYLE):
        canvas, axes = plt.subplots(
            down, across, figsize=(width * across, height * down), layout="constrained", squeeze=False
        )
        try:
            for axis, panel in zip(axes.flat, figure.panels, strict=False):
                _draw_panel(axis, panel)
            for axis in list(axes.flat)[len(figure.panels) :]:
                axis.set_axis_off()
            _draw_legends(canvas, figure, list(axes.flat))
            canvas.savefig(path, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True})
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error
        finally:
            plt.close(canvas)


def _draw_panel(axis: Any, panel: Panel) -> None:
    axis.set_title(panel.title)
    axis.set_ylabel(panel.y_label)
    axis.set_xlabel(panel.x_label)
    labels = list(dict.fromkeys(x for series in panel.series for x in series.x if isinstance(x, str)))
    bars = [series for series in panel.series if series.mark is Mark.BARS]
    for index, series in enumerate(bars):
        _draw_bars(axis, series, labels, (index - (len(bars) - 1) / 2) * 0.8 / len(bars), 0.8 / len(bars))
    for series in panel.series:
        if series.mark is not Mark.BARS:
            _draw_other(axis, series, labels)
    if labels:
        turned = len(labels) > 3
        axis.set_xticks(
            range(len(labels)), labels, rotation=30 if turned else 0, ha="right" if turned else "center", fontsize=7
        )
    if panel.is_logarithmic:
        axis.set_yscale("log")


def _draw_legends(canvas: Any, figure: Figure, axes: list[Any]) -> None:
    """One below all panels where they have the same series, else one in each that has several."""
    several = [(axis, panel) for axis, panel in zip(axes, figure.panels, strict=False) if len(panel.series) > 1]
    if len({tuple(series.label for series in panel.series) for _, panel in several}) == 1:
        handles, labels = several[0][0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=7, frameon=False)
        return
    for axis, _ in several:
        axis.legend(fontsize=7, frameon=False)


def _draw_bars(axis: Any, series: Series, labels: list[str], shift: float, width: float) -> None:
    known = [(labels.index(str(x)) + shift, y) for x, y in zip(series.x, series.y, strict=True) if y is not None]
    axis.bar(
        [x for x, _ in known],
        [y.mean for _, y in known],
        width,
        yerr=[y.half_width or 0.0 for _, y in known],
        label=series.label,
        error_kw={"linewidth": 0.7},
    )


def _draw_other(axis: Any, series: Series, labels: list[str]) -> None:
    known = [(x, y) for x, y in zip(series.x, series.y, strict=True) if y is not None]
    across = [_place(x, labels) for x, _ in known]
    if series.mark is Mark.STEPS:
        axis.step(across, [y.mean for _, y in known], where="pre", linewidth=0.8, label=series.label)
        return
    sideways = [x.half_width or 0.0 if isinstance(x, Estimate) else 0.0 for x, _ in known]
    axis.errorbar(
        across,
        [y.mean for _, y in known],
        yerr=[y.half_width or 0.0 for _, y in known],
        xerr=sideways if any(sideways) else None,
        label=series.label,
        linewidth=0.9,
        elinewidth=0.6,
        **_looks(series),
    )


def _looks(series: Series) -> dict[str, Any]:
    if series.label == PAPER:
        return {"fmt": "x", "color": "black", "markersize": 6}
    return {"fmt": "o-" if series.mark is Mark.LINE else "o", "markersize": 4}


def _place(x: float | str | Estimate, labels: Sequence[str]) -> float:
    if isinstance(x, Estimate):
        return x.mean
    return float(labels.index(x)) if isinstance(x, str) else x
