"""The cost of the SDK before the first request: the time of `import dilu`, the memory of an idle replica.

    python benchmarks/footprint.py [--quick]

Import: in fresh processes, beside those of the peers, modules compiled, files in the page cache. Memory: what is
resident (shared pages counted whole) of a replica of a small function without torch, after its start and after it has
answered 200 requests on every protocol's route; beside the smallest peer, a FastAPI application on uvicorn.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import harness
from harness import BenchmarkError, Server
from sdk_protocols import ROUTES, check_answer

NAME: Final = "footprint"
PACKAGES: Final = ("dilu", "fastapi", "litserve", "bentoml", "mosec")
MODULES: Final = ("dilu", "fastapi", "litserve", "bentoml", "mosec")
REQUESTS: Final = 200
_TIMED: Final = (
    "import time\nbegan_s = time.perf_counter()\nimport {module}\nprint((time.perf_counter() - began_s) * 1e3)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How often."""

    imports: int
    starts: int


FULL: Final = Sizes(imports=15, starts=5)
QUICK: Final = Sizes(imports=3, starts=1)


def import_ms(module: str) -> float | None:
    """Return how long a fresh process takes to import a module; None if it cannot."""
    command = [harness.require_tool("taskset"), "-c", str(harness.SERVER_CORE), sys.executable, "-c"]
    done = subprocess.run([*command, _TIMED.format(module=module)], capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else None


def resident_mb(server: Server) -> float:
    """Return the resident megabytes of all processes of a server."""
    found_kb = 0
    for pid in server.processes():
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                found_kb += int(line.split()[1])
    return found_kb * 1024 / 1e6


def idle_replica() -> tuple[float, float]:
    """Return the megabytes of a replica after its start, and after calls over each protocol."""
    command = (sys.executable, "-m", "dilu", "serve", "benchmarks/apps/protocols_dilu.py:embed")
    with harness.serving("dilu", command, ready="/readyz", env={"DILU_STATS_PORT": "0"}) as server:
        fresh_mb = resident_mb(server)
        for name in ROUTES:
            if ROUTES[name].function == "embed":
                for _ in range(REQUESTS):
                    check_answer(server, name)
        others = {"/v2/models/embed/infer": OPEN_INFERENCE, "/": EVENT}
        for path, (body, headers) in others.items():
            request = harness.http_request("POST", path, body, headers)
            for _ in range(REQUESTS):
                answer = asyncio.run(harness.fetch(server.port, request))
                if answer.status != 200:
                    raise BenchmarkError(f"{path} gave {answer.status} {answer.body[:200]!r}")
        return fresh_mb, resident_mb(server)


OPEN_INFERENCE: Final = (b'{"inputs": [{"name": "input", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}', "")
EVENT: Final = (b'"a"', "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /benchmarks\r\nce-type: a.text\r\n")


def idle_fastapi() -> float:
    """Return the megabytes of the echo in FastAPI."""
    command = (
        *(sys.executable, "-m", "uvicorn", "--app-dir", "benchmarks/apps", "echo_fastapi:app", "--port", "{port}"),
        *("--http", "httptools", "--loop", "uvloop", "--ws", "none", "--no-access-log", "--log-level", "warning"),
    )
    with harness.serving("fastapi", command, ready="/") as server:
        return resident_mb(server)


def main() -> None:
    options = harness.arguments(__doc__)
    harness.pin_client()
    sizes = QUICK if options.quick else FULL
    for module in MODULES:
        import_ms(module)  # fills the page cache
    times = harness.interleaved(MODULES, import_ms, sizes.imports)
    imports_ms = {name: [one for one in found if one is not None] for name, found in times.items() if None not in found}
    memory = [idle_replica() for _ in range(sizes.starts)]
    fastapi_mb = [idle_fastapi() for _ in range(sizes.starts)]
    fresh_mb, used_mb = zip(*memory, strict=True)
    ours_ms = imports_ms.pop("dilu")
    rows = [
        harness.row("import dilu", ours_ms, "ms", goal="value <= 80"),
        *(
            harness.row("import dilu", ours_ms, "ms", peer=f"import {name}", peer_value=found)
            for name, found in imports_ms.items()
        ),
        harness.row("idle replica", fresh_mb, "MB", peer="fastapi", peer_value=fastapi_mb, goal="value <= 60"),
        harness.row("replica after calls over all protocols", used_mb, "MB", goal="value <= 60"),
    ]
    details = {"imports_ms": times, "memory_mb": memory, "sizes": asdict(sizes)}
    harness.write_result(NAME, rows, details=details, options=options, packages=PACKAGES)


if __name__ == "__main__":
    main()
