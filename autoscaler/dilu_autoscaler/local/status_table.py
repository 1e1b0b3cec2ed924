"""The table that `dilu up` keeps current on a terminal, and `dilu ps` prints once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dilu_autoscaler.local.status import LocalStatus

_REFRESH_S = 0.5
# In the order in which a wider terminal shows them; a function's name and its replicas are always shown.
_FUNCTION_COLUMNS = ("waiting", "p95 ms", "errors", "rps", "in SLO", "p50 ms", "requests", "abandoned")
_REPLICA_COLUMNS = ("pid", "in flight", "port", "restarts")
_GAP = 2  # between two columns
_STATE_STYLES = {"ready": "green", "starting": "yellow", "draining": "dim"}


async def show_live(status: Callable[[], LocalStatus], console: Console) -> None:
    """Keep the table at the foot of the terminal current, until cancelled."""
    with Live(_view_of(status()), console=console, auto_refresh=False, transient=True) as live:
        while True:
            await asyncio.sleep(_REFRESH_S)
            live.update(_view_of(status()), refresh=True)


def _view_of(status: LocalStatus) -> RenderableType:
    return status_view(msgspec.to_builtins(status))


def status_view(status: dict[str, Any]) -> RenderableType:
    """Return the table of a platform's functions, with the explanation of each one's replica count below it."""
    title = Text(f"{status['name']}  {status['gateway']['url']}", style="italic", overflow="ellipsis", no_wrap=True)
    table = FittingTable(
        headings=(
            "function",
            "replicas",
            "rps",
            "waiting",
            "p50 ms",
            "p95 ms",
            "in SLO",
            "requests",
            "errors",
            "abandoned",
        ),
        rows=[_cells(function) for function in status["functions"]],
        optional=_FUNCTION_COLUMNS,
    )
    return Group(title, table, *(_decision(function) for function in status["functions"]))


def _cells(function: dict[str, Any]) -> list[Text]:
    return [
        Text(function["name"]),
        _replicas(function),
        Text(f"{function['rps']:.0f}"),
        Text(str(function["waiting"])),
        Text(_milliseconds(function["p50_ms"])),
        Text(_milliseconds(function["p95_ms"])),
        Text(_attainment(function)),
        Text(str(function["requests"])),
        Text(str(function["errors"]), style="red" if function["errors"] else ""),
        Text(str(function["abandoned"])),
    ]


def _replicas(function: dict[str, Any]) -> Text:
    """Return `2/3 1 starting`: ready of desired, and those in other states."""
    states = [replica["state"] for replica in function["replicas"]]
    is_settled = function["ready"] == function["desired"]
    text = Text(f"{function['ready']}/{function['desired']}", style="green" if is_settled else "yellow")
    for state in ("starting", "draining"):
        if count := states.count(state):
            text.append(f" {count} {state}", style=_STATE_STYLES[state])
    return text


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _attainment(function: dict[str, Any]) -> str:
    if function["slo_attainment"] is None:
        return "-"
    return f"{function['slo_attainment'] * 100:.1f} %"


def _decision(function: dict[str, Any]) -> Text:
    return Text(f"{function['name']}: {function['explanation']}", style="dim", overflow="ellipsis", no_wrap=True)


def replica_table(status: dict[str, Any]) -> RenderableType:
    """Return a table of a platform's replicas."""
    rows: list[list[Text]] = []
    for function in status["functions"]:
        for replica in function["replicas"]:
            style = _STATE_STYLES.get(replica["state"], "")
            numbers = (replica[key] for key in ("pid", "port", "in_flight", "restarts"))
            shown = ("-" if number is None else str(number) for number in numbers)
            rows.append([Text(replica["id"]), Text(replica["state"], style=style), *map(Text, shown)])
    headings = ("replica", "state", "pid", "port", "in flight", "restarts")
    return FittingTable(headings=headings, rows=rows, optional=_REPLICA_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittingTable:
    """A table that leaves out its less important columns on a narrow console; the first two always stay."""

    headings: tuple[str, ...]
    rows: Sequence[Sequence[Text]]
    optional: tuple[str, ...] = field(default=())  # all but the first two, the most important first

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield a table with the columns that the console has room for."""
        shown = self.shown(options.max_width)
        table = Table(box=None, pad_edge=False)
        for at in shown:
            table.add_column(self.headings[at], justify="left" if at < 2 else "right", no_wrap=True)
        for row in self.rows:
            table.add_row(*(row[at] for at in shown))
        yield table

    def shown(self, width: int) -> list[int]:
        """Return the indices of the columns that have room, in order."""
        order = [0, 1, *(self.headings.index(heading) for heading in self.optional)]
        shown: list[int] = []
        for at in order:
            cells = (len(self.headings[at]), *(row[at].cell_len for row in self.rows))
            width -= max(cells) + (_GAP if shown else 0)
            if width < 0 and len(shown) >= 2:
                break
            shown.append(at)
        return sorted(shown)
