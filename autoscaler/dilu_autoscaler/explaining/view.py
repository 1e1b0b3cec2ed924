"""The table of a function's last decisions, for `dilu explain`. Its values come from elsewhere and are not trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from dilu_autoscaler.explaining.sentence import UNDECIDED

_MAX_CELL: Final = 600
_NUMBERS: Final = ("when", "times", "replicas", "ready", "stable", "panic", "burst", "given")
_LOADS: Final = ("rps", "in_flight", "learned_rps", "grantable_rps")
_SETTINGS: Final = {"policy": "policy", "min_replicas": "min-scale", "max_replicas": "max-scale", "slo_ms": "slo-ms"}
_MIN_WIDTH: Final = 120  # for the reasons to stand beside the numbers


def decisions_view(status: Mapping[str, Any]) -> RenderableType:
    """Return a function's status and its last decisions, the newest last.

    `replicas` is the desired count before and after the decision, with `!` in panic; `given` is the count that the
    platform was given, in brackets if that is still to come.
    """
    listed = status.get("decisions")
    decisions = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, Sequence) else []
    shown = _Decisions(decisions) if decisions else Text(UNDECIDED, style="dim")
    return Group(_title(status), _now(status), _settings(status), shown)


class _Decisions:
    """A table with the numbers of each decision, and its reasons beside or, on a narrow console, below them."""

    def __init__(self, decisions: Sequence[Mapping[str, Any]]) -> None:
        self._rows = [_cells(decision) for decision in decisions]
        self._reasons = [_reasons(decision) for decision in decisions]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for the width of the console."""
        table = Table(box=None, pad_edge=False)
        for heading in _NUMBERS:
            table.add_column(heading, justify="left" if heading == "when" else "right", no_wrap=True)
        if options.max_width >= _MIN_WIDTH:
            table.add_column("why")
            for row, reasons in zip(self._rows, self._reasons, strict=True):
                table.add_row(*row, Text(reasons))
            yield table
            return
        for row in self._rows:
            table.add_row(*row)
        lines = console.render_lines(table, options, pad=False)  # the head, and one for each row
        for line, reasons in zip(lines, ("", *self._reasons), strict=True):
            yield from line
            yield Segment.line()
            if reasons:
                yield Padding(Text(reasons), (0, 0, 0, 4))


def _title(status: Mapping[str, Any]) -> Text:
    text = Text(_plain(status.get("name")), style="bold")
    if "bucket" not in status:
        return text
    bucket = _mapping(status["bucket"])
    holder = _mapping(bucket.get("holder"))
    text.append(f"  {_plain(bucket.get('name'))}, held by {_plain(holder.get('pod') or 'no pod')}", style="dim")
    if bucket.get("is_held") is not True:
        text.append("\nThis autoscaler does not hold the bucket: its decisions are old", style="yellow")
    return text


def _now(status: Mapping[str, Any]) -> Text:
    """Return the present state on a line: what is known of replicas, load and throughput."""
    parts = [f"{_plain(status.get('ready'))} of {_plain(status.get('desired'))} ready"]
    parts += [f"{_plain(status[key])} {key}" for key in ("starting", "waiting") if status.get(key)]
    parts += [f"{key}={_number(status[key])}" for key in _LOADS if status.get(key) is not None]
    return Text("  ".join(parts))


def _settings(status: Mapping[str, Any]) -> Text:
    settings = _mapping(status.get("settings")) or {
        heading: status[key] for key, heading in _SETTINGS.items() if status.get(key) is not None
    }
    return Text("  ".join(f"{_plain(key)}={_plain(value)}" for key, value in settings.items()), style="dim")


def _cells(decision: Mapping[str, Any]) -> list[Text]:
    last = _mapping(decision.get("last"))
    count = decision.get("count")
    panics = decision.get("panicking") is True
    replicas = f"{_plain(decision.get('before'))} → {_plain(decision.get('decided'))}{' !' if panics else ''}"
    return [
        Text(_span(decision.get("first_s"), decision.get("last_s"))),
        Text(f"{count}×" if isinstance(count, int) and count > 1 else ""),
        Text(replicas, style="red" if panics else _style(decision)),
        Text(_plain(last.get("ready"))),
        Text(_number(last.get("stable"))),
        Text(_number(last.get("panic"))),
        Text(_plain(last.get("excess_burst_capacity"))),
        Text(_given(_mapping(decision.get("outcome")))),
    ]


def _style(decision: Mapping[str, Any]) -> str:
    if decision.get("kind") == "failed":
        return "red"
    return "yellow" if decision.get("kind") == "no-data" else ""


def _given(outcome: Mapping[str, Any]) -> str:
    if not outcome:
        return "-"
    return _plain(outcome.get("want")) if outcome.get("applied") is True else f"({_plain(outcome.get('want'))})"


def _reasons(decision: Mapping[str, Any]) -> str:
    """Return the reason of the first decision, that of the newest if it differs, and the outcome's."""
    texts = [_plain(_mapping(decision.get(part)).get("reason")) for part in ("first", "last", "outcome")]
    return "\n".join(dict.fromkeys(text for text in texts if text and text != "-"))


def _span(first_s: object, last_s: object) -> str:
    """Return `14:03:05` or `14:03:05–14:59:01` in local time, with the day unless it is today."""
    first, last = _time(first_s), _time(last_s)
    if first is None or last is None:
        return "-"
    day = "" if first.date() == datetime.now().astimezone().date() else f"{first:%Y-%m-%d} "
    until = f"–{last:%H:%M:%S}" if f"{last:%H%M%S}" != f"{first:%H%M%S}" else ""
    return f"{day}{first:%H:%M:%S}{until}"


def _time(seconds: object) -> datetime | None:
    if not isinstance(seconds, (int, float)):
        return None
    try:
        return datetime.fromtimestamp(seconds).astimezone()
    except (OverflowError, ValueError, OSError):
        return None


def _number(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, (int, float)) else "-"


def _plain(value: object) -> str:
    """Return one short printable line for any value."""
    if value is None:
        return "-"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = "".join(one if one.isprintable() else "�" for one in text[:_MAX_CELL])
    return f"{text}…" if len(str(value)) > _MAX_CELL else text


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
