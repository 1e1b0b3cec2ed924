"""Trace files: what they mean, and how bad ones are refused."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from dilu.errors import ConfigError
from dilu.load.arrivals import RecordedArrivals
from dilu.load.traces import read_trace

DAY, NEXT = "2023-12-31", "2024-01-01"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def times(path: Path, *, scale: float = 1.0, cv: float = 0.0) -> list[float]:
    return list(read_trace(path, scale=scale, cv=cv).times_s(Random(1)))


def test_each_line_of_rates_is_one_second(tmp_path: Path) -> None:
    path = written(tmp_path, "rates.txt", "2\n0\n4.0 \r\n\n\n")
    assert times(path) == [0.0, 0.5, 2.0, 2.25, 2.5, 2.75]
    assert read_trace(path).duration_s == 3.0


def test_scale_multiplies_rates(tmp_path: Path) -> None:
    assert times(written(tmp_path, "rates.txt", "1\n0.5\n"), scale=2) == [0.0, 0.5, 1.0]


def test_fractions_of_a_request_add_up_over_the_seconds(tmp_path: Path) -> None:
    assert len(times(written(tmp_path, "rates.txt", "0.1\n" * 100))) == 10


def test_lines_of_rates_may_be_commented(tmp_path: Path) -> None:
    assert times(written(tmp_path, "rates.txt", "# rps\n1\n1\n")) == [0.0, 1.0]


def test_one_line_of_zero_is_no_traffic(tmp_path: Path) -> None:
    assert times(written(tmp_path, "rates.txt", "0"), cv=1.0) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "100\n100.25\n100.25\n102\n"),
        ("t.csv", "tokens,Timestamp\n7,100\n\n7,100.25\n7,100.25\n7,102\n"),
        ("t.csv", f"{DAY} 18:17:03.0000000,1\n{DAY} 18:17:03.25,1\n{DAY}T18:17:03.25,1\n{DAY}T181705,1\n"),
        ("t.csv", f"\ufefftime\n{DAY}T23:59:59Z\n{DAY}T23:59:59.25Z\n{NEXT}T00:59:59.25+01:00\n{NEXT}T00:00:01Z"),
        ("t.jsonl", '{"ts": 100, "n": 1}\n{"ts": 100.25}\n{"ts": "100.25"}\n{"ts": 102}\n'),
        ("t.jsonl", "100\n100.25\n100.25\n102\n"),
        ("t.jsonl", '{"due_s": 1}\n{"due_s": 1.25}\n{"due_s": 1.25}\n{"due_s": 3}\n'),
    ],
)  # fmt: skip
def test_recorded_times_count_from_the_first(tmp_path: Path, name: str, text: str) -> None:
    path = written(tmp_path, name, text)
    assert times(path) == [0.0, 0.25, 0.25, 2.0]
    assert times(path, scale=2) == [0.0, 0.125, 0.125, 1.0]
    assert isinstance(read_trace(path), RecordedArrivals)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r.txt", "", ": no values, must have one rate in requests per second per line"),
        ("r.txt", "# nothing\n\n", ": no values"),
        ("r.txt", "1\n\n2\n", ":2: an empty line between rates; write 0 for a second without requests"),
        ("r.txt", "1\n-2\n", ":2: -2, must be a finite number of requests per second, 0 or more"),
        ("r.txt", "1\nnan\n", ":2: nan, must be a finite number"),
        ("r.txt", "inf\n", ":1: inf, must be a finite number"),
        ("r.txt", "1\nsix\n", ":2: 'six', must be one rate in requests per second (files of arrival times must"),
        ("r.txt", "1,2\n", ":1: '1,2', must be one rate"),
        ("t.csv", "", ": no values, must have one arrival time per line"),
        ("t.csv", "time\n", ": no values"),
        ("t.csv", "rps,model\n1,a\n", ":1: columns rps, model; one must be named timestamp or time"),
        ("t.csv", "time\n5\n4\n", ":3: '4' is before the time above it; sort the file by time"),
        ("t.csv", "time\n-1\n2\n", ":2: '-1', must be 0 or more seconds"),
        ("t.csv", "time\n5\nnan\n", ":3: 'nan', must be a number of seconds or an ISO time"),
        ("t.csv", "time\n5\n2023-11-16\n", ":3: '2023-11-16', must have the format of the first time, 5.0"),
        ("t.csv", "2023-11-16\n2023-11-17T00:00:00Z\n", ":2: '2023-11-17T00:00:00Z', must have the format of"),
        ("t.csv", "n,time\n1,5\n1\n", ":3: 1 columns, the time must be in column 2"),
        ("t.csv", f"time\n{'9' * 140_000}\n", ":2: field larger than field limit"),
        ("t.jsonl", '{"time": 1}\n{"time":\n', ":2: not JSON"),
        ("t.jsonl", '{"rps": 1}\n', ":1: keys rps; one must be timestamp or time"),
        ("t.jsonl", "true\n", ":1: True, must be a number of seconds"),
        ("t.jsonl", "[1]\n", ":1: [1], must be a number of seconds"),
        ("t.jsonl", "1\nInfinity\n", ":2: inf, must be a number of seconds"),
    ],
)
def test_a_bad_trace_is_refused_by_file_line_value_and_rule(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(ConfigError) as caught:
        read_trace(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_trace(tmp_path / "none.txt")
    with pytest.raises(ConfigError, match="Is a directory"):
        read_trace(tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"1\n\xe9\n")
    with pytest.raises(ConfigError, match="byte 2 is not UTF-8 text"):
        read_trace(tmp_path / "latin.txt")


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_must_be_above_zero(tmp_path: Path, scale: float) -> None:
    with pytest.raises(ConfigError, match=r"scale = .*, must be a finite number above 0"):
        read_trace(written(tmp_path, "r.txt", "1"), scale=scale)
