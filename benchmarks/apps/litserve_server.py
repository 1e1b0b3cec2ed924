"""Runs a LitServe application; every benchmark starts LitServe with these settings.

API_SERVERS is the number of its HTTP processes, beside the one that runs the model; TIMEOUT_S bounds a request's wait.
"""

from __future__ import annotations

import os
import signal

import litserve


def run(api: litserve.LitAPI) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    # Only Ctrl-C makes LitServe end its processes; SIGTERM leaves them behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    timeout_s = float(os.environ.get("TIMEOUT_S", "30"))
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True, timeout=timeout_s)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=int(os.environ["API_SERVERS"]),
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
