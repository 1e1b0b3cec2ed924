"""Arrivals read from a trace file. Errors name the file, the line, the value and the rule.

* `.csv`, `.jsonl`: the arrival time of each request, in seconds or as ISO time, in order. Times count from the first
  one. In a CSV with a header, and in JSON objects, the column is the first of `TIME_COLUMNS` that exists; without a
  header it is the first column. Several requests may have the same time.
* every other file: one rate in requests per second per line, for one second each. An empty line between two rates is
  refused, because it could mean a second without requests or no second; lines that start with # are ignored.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from dilu.errors import ConfigError
from dilu.load.arrivals import Arrivals, RateArrivals, RecordedArrivals
from dilu.load.rates import Flat

TIME_COLUMNS = ("timestamp", "time", "arrival", "arrived_at", "ts", "at_s", "due_s")
_TIME_RULE = "must be a number of seconds or an ISO time, as in 2023-11-16 18:17:03.97"


def read_trace(path: str | Path, *, scale: float = 1.0, cv: float = 1.0) -> Arrivals:
    """Return the arrivals of a trace file at `scale` times its rate; recorded times are divided by `scale`.

    `cv` is the spacing of requests from a file of rates (0 = even, 1 = Poisson); it does not apply to recorded times.
    """
    check_scale(scale)
    path = Path(path)
    lines = read_lines(path)
    if path.suffix == ".csv":
        return recorded(_csv_times(lines, str(path)), str(path), scale=scale)
    if path.suffix == ".jsonl":
        return recorded(_jsonl_times(lines, str(path)), str(path), scale=scale)
    return RateArrivals(segments=parse_rates(lines, str(path), scale=scale), cv=cv)


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file, without empty lines at its end."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8 text") from error
    return text.rstrip().split("\n")


def parse_rates(lines: Sequence[str], name: str, *, scale: float = 1.0) -> tuple[Flat, ...]:
    """Return one second for each line, at `scale` times its rate."""
    rates = [(number, line.strip()) for number, line in enumerate(lines, 1) if not line.lstrip().startswith("#")]
    if not any(text for _, text in rates):
        raise ConfigError(f"{name}: no values, must have one rate in requests per second per line")
    return tuple(_rate(text, f"{name}:{number}", scale) for number, text in rates)


def _rate(text: str, where: str, scale: float) -> Flat:
    if not text:
        raise ConfigError(f"{where}: an empty line between rates; write 0 for a second without requests")
    try:
        rps = float(text)
    except ValueError:
        raise ConfigError(
            f"{where}: {text!r}, must be one rate in requests per second "
            "(files of arrival times must end in .csv or .jsonl)"
        ) from None
    if not 0.0 <= rps * scale < math.inf:
        raise ConfigError(f"{where}: {text}, must be a finite number of requests per second, 0 or more")
    return Flat(rps=rps * scale, duration_s=1.0)


def recorded(values: Iterable[tuple[int, object]], name: str, *, scale: float = 1.0) -> RecordedArrivals:
    """Return the arrivals of (line number, time) pairs, relative to the first and divided by `scale`."""
    first: float | datetime | None = None
    at_s: list[float] = []
    for number, value in values:
        moment = _moment(value)
        if moment is None:
            raise ConfigError(f"{name}:{number}: {value!r}, {_TIME_RULE}")
        if isinstance(moment, float) and moment < 0.0:
            raise ConfigError(f"{name}:{number}: {value!r}, must be 0 or more seconds")
        first = moment if first is None else first
        since_s = _since(first, moment)
        if since_s is None:
            raise ConfigError(f"{name}:{number}: {value!r}, must have the format of the first time, {first}")
        if at_s and since_s < at_s[-1]:
            raise ConfigError(f"{name}:{number}: {value!r} is before the time above it; sort the file by time")
        at_s.append(since_s)
    if not at_s:
        raise ConfigError(f"{name}: no values, must have one arrival time per line")
    return RecordedArrivals(at_s=tuple(second / scale for second in at_s))


def _moment(value: object) -> float | datetime | None:
    """Parse seconds, or a date and time; return None for other values."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float | str):
        try:
            seconds = float(value)
        except (ValueError, OverflowError):
            seconds = math.nan
        if math.isfinite(seconds):
            return seconds
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    return None


def _since(first: float | datetime, moment: float | datetime) -> float | None:
    """Return the seconds from `first` to `moment`; None if only one has a date or a time zone."""
    if isinstance(first, datetime) and isinstance(moment, datetime):
        aware = first.tzinfo is not None
        return (moment - first).total_seconds() if aware == (moment.tzinfo is not None) else None
    if isinstance(first, float) and isinstance(moment, float):
        return moment - first
    return None


def _csv_times(lines: Iterable[str], name: str) -> Iterator[tuple[int, object]]:
    rows = ((number, row) for number, row in _csv_rows(lines, name) if any(cell.strip() for cell in row))
    column: int | None = None
    for number, row in rows:
        if column is None:
            if all(_moment(cell) is None for cell in row):
                column = _time_column(row, f"{name}:{number}")
                continue
            column = 0
        if column >= len(row):
            raise ConfigError(f"{name}:{number}: {len(row)} columns, the time must be in column {column + 1}")
        yield number, row[column]


def _csv_rows(lines: Iterable[str], name: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise ConfigError(f"{name}:{reader.line_num}: {error}") from None


def _time_column(header: Sequence[str], where: str) -> int:
    names = [cell.strip().lower() for cell in header]
    for name in TIME_COLUMNS:
        if name in names:
            return names.index(name)
    raise ConfigError(f"{where}: columns {', '.join(header)}; one must be named {' or '.join(TIME_COLUMNS)}")


def _jsonl_times(lines: Iterable[str], name: str) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{name}:{number}: not JSON: {error}") from None
        yield number, _time_of(value, f"{name}:{number}") if isinstance(value, dict) else value


def _time_of(entry: dict[str, object], where: str) -> object:
    for name in TIME_COLUMNS:
        if name in entry:
            return entry[name]
    raise ConfigError(f"{where}: keys {', '.join(entry) or '(none)'}; one must be {' or '.join(TIME_COLUMNS)}")


def check_scale(scale: float) -> None:
    """Raise ConfigError unless `scale` is a finite number above 0."""
    if not 0.0 < scale < math.inf:
        raise ConfigError(f"scale = {scale:g}, must be a finite number above 0")
