"""The table that `dilu up` keeps current on a terminal, and `dilu ps` prints once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

_REFRESH_S = 0.5
_STATE_STYLES = {"ready": "green", "starting": "yellow", "draining": "dim"}


async def show_live(status: Callable[[], dict[str, Any]], console: Console) -> None:
    """Keep the table at the foot of the terminal current, until cancelled."""
    with Live(status_view(status()), console=console, auto_refresh=False, transient=True) as live:
        while True:
            await asyncio.sleep(_REFRESH_S)
            live.update(status_view(status()), refresh=True)


def status_view(status: dict[str, Any]) -> RenderableType:
    """A platform's status as a table, with the last decision on each function below it."""
    table = Table(title=f"{status['name']}  {status['gateway']['url']}", title_justify="left", box=None, pad_edge=False)
    for heading in ("function", "replicas", "rps", "waiting", "p50 ms", "p95 ms", "in SLO", "requests", "errors"):
        table.add_column(heading, justify="left" if heading in ("function", "replicas") else "right", no_wrap=True)
    for function in status["functions"]:
        table.add_row(*_cells(function))
    return Group(table, *(_decision(function) for function in status["functions"]))


def _cells(function: dict[str, Any]) -> list[RenderableType]:
    return [
        function["name"],
        _replicas(function),
        f"{function['rps']:.0f}",
        str(function["waiting"]),
        _milliseconds(function["p50_ms"]),
        _milliseconds(function["p95_ms"]),
        _attainment(function),
        str(function["requests"]),
        Text(str(function["errors"]), style="red" if function["errors"] else ""),
    ]


def _replicas(function: dict[str, Any]) -> Text:
    """`2/3 1 starting`: ready of desired, and those that are neither."""
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
    decision = function["last_decision"]
    said = "nothing decided yet" if decision is None else f"{decision['replicas']}: {decision['reason']}"
    return Text(f"{function['name']} -> {said}", style="dim", overflow="ellipsis", no_wrap=True)


def replica_table(status: dict[str, Any]) -> Table:
    """Every replica of a platform on a line."""
    table = Table(box=None, pad_edge=False)
    for heading in ("replica", "state", "pid", "port", "in flight", "restarts"):
        table.add_column(heading, justify="left" if heading in ("replica", "state") else "right")
    for function in status["functions"]:
        for replica in function["replicas"]:
            style = _STATE_STYLES.get(replica["state"], "")
            numbers = (replica[key] for key in ("pid", "port", "in_flight", "restarts"))
            shown = ("-" if number is None else str(number) for number in numbers)
            table.add_row(replica["id"], Text(replica["state"], style=style), *shown)
    return table
