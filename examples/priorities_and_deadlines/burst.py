"""Sends 40 requests at once to `render`: urgent, patient, and with 200 ms to live. Prints what became of each.

python examples/priorities_and_deadlines/burst.py [http://127.0.0.1:8080]
"""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

# Who comes, with which headers, how many of them.
KINDS = {
    "urgent": ({"Priority": "u=0"}, 8),
    "usual": ({}, 12),
    "patient": ({"Priority": "u=7"}, 12),
    "in a hurry": ({"X-Request-Timeout-Ms": "200"}, 8),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of one request, and the time it took."""

    kind: str
    status: int
    refused: str | None
    took_ms: float


def send(address: str, kind: str, headers: dict[str, str]) -> Outcome:
    """Send one request and return what came of it."""
    began_s = time.monotonic()
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("POST", "/", json.dumps(kind), headers)
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    took_ms = (time.monotonic() - began_s) * 1000.0
    return Outcome(kind=kind, status=response.status, refused=response.headers["Dilu-Refused"], took_ms=took_ms)


def burst(address: str) -> list[Outcome]:
    """Send all requests at once, the patient ones first so that the urgent ones have requests to overtake."""
    order = [kind for kind in ("patient", "usual", "in a hurry", "urgent") for _ in range(KINDS[kind][1])]
    with ThreadPoolExecutor(len(order)) as pool:
        return list(pool.map(lambda kind: send(address, kind, KINDS[kind][0]), order))


def row(kind: str, outcomes: list[Outcome]) -> str:
    """Return one line of the table."""
    answered = [one.took_ms for one in outcomes if one.status == 200]
    median = f"{statistics.median(answered):.0f} ms" if answered else "-"
    refused = Counter(str(one.refused or one.status) for one in outcomes if one.status != 200)
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items())) or "-"
    return f"{kind:<11}{len(outcomes):>5}{len(answered):>10}{median:>12}   {why}"


def main() -> None:
    """Send the burst and print the table."""
    address = urlsplit(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080").netloc
    outcomes = burst(address)
    print(f"{'':<11}{'sent':>5}{'answered':>10}{'median':>12}   refused")
    for kind in KINDS:
        print(row(kind, [one for one in outcomes if one.kind == kind]))


if __name__ == "__main__":
    main()
