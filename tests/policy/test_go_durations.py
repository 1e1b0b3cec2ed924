"""Durations in Go's syntax."""

from __future__ import annotations

import pytest

from dilu.spec.go_durations import NS_PER_S, duration_ns


@pytest.mark.parametrize(
    ("text", "exact_ns"),
    [
        ("0", 0),
        ("-0", 0),
        ("60s", 60 * NS_PER_S),
        ("+5s", 5 * NS_PER_S),
        ("-5s", -5 * NS_PER_S),
        ("1m30s", 90 * NS_PER_S),
        ("1.5h", 5400 * NS_PER_S),
        (".5s", NS_PER_S // 2),
        ("1.s", NS_PER_S),
        ("300ms", 300_000_000),
        ("1h2m3s4ms5us6ns", 3_723_004_005_006),
        ("7\u00b5s", 7000),
        ("1.0000000009s", NS_PER_S),
        ("0s", 0),
    ],
)
def test_what_go_reads(text: str, exact_ns: int) -> None:
    assert duration_ns(text) == exact_ns


@pytest.mark.parametrize("text", ["", "60", "s", ".s", "1d", "1 s", "60S", "1m30", "+", "--1s", "9999999h", "١s"])
def test_what_go_refuses(text: str) -> None:
    assert duration_ns(text) is None
