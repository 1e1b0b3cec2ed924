"""A candidate that runs inside our process, until SIGTERM.

python -m apps.server_choice.embedded uvicorn --port 8000 --stats-port 8001 --drain ours
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import uvloop

from apps.server_choice.application import STATE, load

CANDIDATES: Final = ("granian RSGI", "uvicorn")
EXECUTOR_THREADS: Final = 32


def serving(options: argparse.Namespace) -> Coroutine[Any, Any, None]:
    """Return the candidate's server, not yet running. Only its own modules are imported: its memory is compared."""
    ours = options.drain == "ours"
    if options.candidate == "uvicorn":
        from apps.server_choice import on_uvicorn

        return on_uvicorn.serve(options.port, options.stats_port, ours=ours, flask_threads=EXECUTOR_THREADS)
    from apps.server_choice import on_granian

    return on_granian.serve(options.port, options.stats_port, ours=ours)


def main() -> None:
    parser = argparse.ArgumentParser(description="A candidate that runs inside our process, until SIGTERM.")
    parser.add_argument("candidate", choices=CANDIDATES)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--stats-port", type=int, required=True)
    parser.add_argument("--drain", choices=("own", "ours"), required=True)
    options = parser.parse_args()
    load()  # before the port is bound
    STATE.stats_port = options.stats_port
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_default_executor(ThreadPoolExecutor(EXECUTOR_THREADS))
        runner.run(serving(options))


if __name__ == "__main__":
    main()
