"""What every benchmark script shares: pinned servers, wrk, medians of interleaved repeats, rows and result files.

    options = harness.arguments(__doc__)
    harness.pin_client()
    with harness.serving("ours", [sys.executable, "app.py", "--port", "{port}"]) as ours:
        load = harness.wrk(ours.url, connections=16, seconds=2, body=b"[1, 2]")
    rows = [harness.row("echo c=16", load.rps, "rps", goal="value >= 3000")]
    harness.write_result("echo", rows, details={"load": load}, quick=options.quick)

Servers run on the first core that this process may use, clients (wrk, and the script itself) on the second. What only
one script needs stays with that script.
"""

from harness.client import Answer, ask, http_request, read_answer
from harness.console import BenchmarkError, arguments, say
from harness.load import Load, interleaved, median_load, percentile, wrk
from harness.machine import (
    CLIENT_CORE,
    ROOT,
    SERVER_CORE,
    free_port,
    machine_facts,
    pin_client,
    raise_open_files,
    require_tool,
)
from harness.open_loop import Sent, open_loop, poisson_times_s
from harness.results import RESULTS, result_path, row, write_result
from harness.servers import Server, serving, start_server

__all__ = [
    "CLIENT_CORE",
    "RESULTS",
    "ROOT",
    "SERVER_CORE",
    "Answer",
    "BenchmarkError",
    "Load",
    "Sent",
    "Server",
    "arguments",
    "ask",
    "free_port",
    "http_request",
    "interleaved",
    "machine_facts",
    "median_load",
    "open_loop",
    "percentile",
    "pin_client",
    "poisson_times_s",
    "raise_open_files",
    "read_answer",
    "require_tool",
    "result_path",
    "row",
    "say",
    "serving",
    "start_server",
    "write_result",
    "wrk",
]
