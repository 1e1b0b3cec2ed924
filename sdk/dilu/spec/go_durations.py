"""Durations in the syntax of Go, which Knative uses: `1m30s`, `300ms`, `1.5h`, `0`."""

from __future__ import annotations

import re
from typing import Final

NS_PER_S: Final = 1_000_000_000
_UNIT_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # the micro sign
    "\u03bcs": 1_000,  # the Greek letter
    "ms": 1_000_000,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
}
_MAX_NS: Final = 2**63 - 1
_PART: Final = re.compile(r"(?=\.?[0-9])([0-9]{0,19})(?:\.([0-9]{0,30}))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")


def duration_ns(text: str) -> int | None:
    """Return the nanoseconds of a duration, rounded down; None if Go would refuse the text.

    >>> duration_ns("1m30s"), duration_ns("1.5h"), duration_ns("0"), duration_ns("60")
    (90000000000, 5400000000000, 0, None)
    """
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    total, at = 0, 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None:
            return None
        whole, fraction, unit = part[1], part[2] or "", _UNIT_NS[part[3]]
        total += int(whole or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
        at = part.end()
    return sign * total if rest and total <= _MAX_NS else None
