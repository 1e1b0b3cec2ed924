"""The whole comparison as a Markdown table, on its own or in the decision record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import harness
from server_comparison.candidates import CANDIDATES, Found
from server_comparison.drains import lost
from server_comparison.sizes import FULL, LOADS
from server_comparison.streaming import DEAF_CLIENTS

ADR: Final = harness.ROOT / "docs" / "adr" / "0001-http-server.md"


def put_into_adr(markdown: str) -> None:
    """Replace what stands between the two marks of the decision record."""
    begin, end = "<!-- table: begin -->\n", "<!-- table: end -->"
    before, _, rest = ADR.read_text().partition(begin)
    if end not in rest:
        raise harness.BenchmarkError(f"{ADR.name} has lost its marks {begin.strip()} and {end}")
    ADR.write_text(before + begin + markdown + "\n" + end + rest.partition(end)[2])


def table(result: Mapping[str, Any]) -> str:
    """Return the whole comparison as Markdown, with where and when it was measured."""
    found, machine = result["details"], result["machine"]
    lines = ["| | " + " | ".join(CANDIDATES) + " |", "|---" * (len(CANDIDATES) + 1) + "|"]
    for label, cell in _CELLS.items():
        lines.append(f"| {label} | " + " | ".join(cell(found[name]) for name in CANDIDATES) + " |")
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    kind = "A quick run, not for publishing: measured" if result["quick"] else "Measured"
    cores = f"server on core {machine['server_core']}, client on core {machine['client_core']} of {machine['cores']}"
    when = (
        f"{machine['date_utc'][:10]}, {machine['cpu']}, {cores}, load {machine['load_average_at_start']} at the start"
    )
    return "\n".join([*lines, "", f"{kind} {when}; Python {machine['python']}, {versions}."])


def _load_cell(what: str) -> Callable[[Found], str]:
    def cell(found: Found) -> str:
        load = found.get(what)
        if load is None:
            return "–"
        broken = int(load["errors"] + load["not_2xx"])
        text = f"{load['rps']:,.0f}/s, p50 {load['p50_us']:,.0f} µs, p99 {load['p99_us'] / 1e3:.2f} ms"
        return text + (f", **{broken} failed**" if broken else "")

    return cell


def _drain_cell(kind: str) -> Callable[[Found], str]:
    def cell(found: Found) -> str:
        seen = found.get(f"drain {kind}")
        if seen is None:
            return "–"
        codes = ", ".join(str(code) for code in seen["exit_codes"])
        count = f"{lost(seen)} lost" if lost(seen) == 0 else f"**{lost(seen)} lost**"
        return f"{count} in {seen['runs']} runs, exit {codes}, at most {seen['slowest_s']:.1f} s"

    return cell


def _probe_cell(key: str) -> Callable[[Found], str]:
    def cell(found: Found) -> str:
        seen = found.get(key, {})
        if "probe_p99_ms" not in seen:
            return "–"
        count = f"**{seen['probes_lost']} lost** of" if seen["probes_lost"] else "none lost of"
        return f"p99 {seen['probe_p99_ms']:.1f} ms, {count} {seen['probes']}"

    return cell


def _streams_cell(found: Found) -> str:
    seen = found["streams"]
    if "failed" in seen:
        return f"**failed: {seen['failed']}**"
    return (
        f"{seen['held']:,} held, {seen['events_ratio']:.0%} of the events, {seen['memory_mib']:.0f} MiB, "
        f"all ends noticed: {_noticed(seen)}"
    )


def _never_read_cell(found: Found) -> str:
    seen = found["streams"].get("never_read")
    if seen is None:
        return "–"
    return (
        f"{seen['grown_mib']:+,.0f} MiB, {_probe_cell('never_read')(found['streams'])}, ends noticed: {_noticed(seen)}"
    )


def _noticed(seen: Found) -> str:
    return "not in 5 s" if seen["noticed_s"] is None else f"{seen['noticed_s']:.2f} s"


def _disconnect_cell(found: Found) -> str:
    return "never" if found["disconnect_ms"] is None else f"after {found['disconnect_ms']:.1f} ms"


_CELLS: Final[dict[str, Callable[[Found], str]]] = {
    **{what: _load_cell(what) for what in LOADS},
    "SIGTERM under load, the server's own drain": _drain_cell("own"),
    "SIGTERM under load, our drain": _drain_cell("ours"),
    "a waiting handler learns that its client disconnected": _disconnect_cell,
    **{
        f"probes while `predict` runs, {waiting} waiting": _probe_cell(f"probes beside {waiting}")
        for waiting in FULL.waiting
    },
    "open streams": _streams_cell,
    "probes beside the streams": _probe_cell("streams"),
    f"{DEAF_CLIENTS} clients that never read what is sent": _never_read_cell,
    "processes": lambda found: str(found["processes"]),
    "port bound only after the load": lambda found: "no" if found["port_bound_before_load"] else "yes",
    "listeners with routes of their own": lambda found: str(found["listeners"]),
    "memory idle / after the load": lambda found: f"{found['memory_idle_mib']:.0f} / {found['memory_mib']:.0f} MiB",
}
