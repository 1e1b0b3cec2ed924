"""The parts that all benchmark scripts share: pinned servers, wrk, alternating repeats, rows and result files.

    options = harness.arguments(__doc__)
    harness.pin_client()
    with harness.serving("ours", [sys.executable, "app.py", "--port", "{port}"]) as ours:
        load = harness.wrk(ours.url, connections=16, seconds=2, body=b"[1, 2]")
    rows = [harness.row("echo c=16", load.rps, "rps", goal="value >= 3000")]
    harness.write_result("echo", rows, details={"load": load}, options=options)

Servers run on the first core that this process may use, clients (wrk, and the script itself) on the second. A part that
only one script needs stays with that script.
"""

from harness.client import Answer, fetch, http_request, read_answer
from harness.console import BenchmarkError, progress
from harness.load import Load, interleaved, median, median_load, percentile, wrk
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
from harness.open_loop import Sent, open_loop
from harness.options import arguments
from harness.results import RESULTS, result_path, write_result
from harness.rows import row
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
    "fetch",
    "free_port",
    "http_request",
    "interleaved",
    "machine_facts",
    "median",
    "median_load",
    "open_loop",
    "percentile",
    "pin_client",
    "progress",
    "raise_open_files",
    "read_answer",
    "require_tool",
    "result_path",
    "row",
    "serving",
    "start_server",
    "write_result",
    "wrk",
]
