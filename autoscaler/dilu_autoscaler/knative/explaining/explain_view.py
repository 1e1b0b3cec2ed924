"""An autoscaler's answer about a revision as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

_LONGEST_CELL: Final = 600
_NUMBERS: Final = ("when", "times", "replicas", "ready", "stable", "panic", "burst", "given")
_WIDE_ENOUGH: Final = 120  # for the reasons to stand beside the numbers


def decisions_view(answer: Mapping[str, Any]) -> RenderableType:
    """The last decisions, the newest last, below what the revision is scaled by.

    `replicas` is what was desired and what was decided, `!` in panic; `given` what the Deployment was given of it, in
    brackets what it is yet to be given.
    """
    decisions = [one for one in answer["decisions"] if isinstance(one, Mapping)]
    shown = _Decisions(decisions) if decisions else Text("nothing decided yet", style="dim")
    return Group(_title(answer), _settings(answer), shown)


class _Decisions:
    """A table: each decision's numbers, and its reasons beside them, or below them where there is no room."""

    def __init__(self, decisions: Sequence[Mapping[str, Any]]) -> None:
        self._rows = [_cells(decision) for decision in decisions]
        self._reasons = [_reasons(decision) for decision in decisions]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What the console prints."""
        table = Table(box=None, pad_edge=False)
        for heading in _NUMBERS:
            table.add_column(heading, justify="left" if heading == "when" else "right", no_wrap=True)
        if options.max_width >= _WIDE_ENOUGH:
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


def _title(answer: Mapping[str, Any]) -> Text:
    bucket = _mapping(answer.get("bucket"))
    holder = _mapping(bucket.get("holder"))
    text = Text(_plain(answer.get("revision")), style="bold")
    text.append(f"  {_plain(bucket.get('name'))}, held by {_plain(holder.get('pod')) or 'nobody'}", style="dim")
    if bucket.get("is_held") is not True:
        text.append("\nThis autoscaler does not hold it: what follows is what it decided before", style="yellow")
    return text


def _settings(answer: Mapping[str, Any]) -> Text:
    settings = _mapping(answer.get("settings"))
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
    """Why it began, why it goes on if that is something else, and what was made of it."""
    texts = [_plain(_mapping(decision.get(part)).get("reason")) for part in ("first", "last", "outcome")]
    return "\n".join(dict.fromkeys(text for text in texts if text and text != "-"))


def _span(first_s: object, last_s: object) -> str:
    """`14:03:05` or `14:03:05-14:59:01`, in the local time of who looks; the day where it is another than today."""
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
    """One short printable line, whatever it is: it comes from elsewhere."""
    if value is None:
        return "-"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = "".join(one if one.isprintable() else "�" for one in text[:_LONGEST_CELL])
    return f"{text}…" if len(str(value)) > _LONGEST_CELL else text


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
