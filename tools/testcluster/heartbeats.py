"""Renews the leases of all fake nodes until stopped: `python -m tools.testcluster.heartbeats CLUSTER_DIRECTORY`."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from pathlib import Path
from typing import Final

from .api import KubeApi
from .errors import ApiError, ClusterError
from .fakenodes import LEASES, fake_nodes, now_micro
from .places import Places
from .sockets import client_context

# A node is taken for dead 50 s after its last sign of life.
_EVERY_S: Final = 15.0


def beat(api: KubeApi) -> None:
    """One sign of life of each node."""
    for name in fake_nodes(api):
        with contextlib.suppress(ApiError):  # the node may have been removed meanwhile
            api.patch("coordination.k8s.io/v1", "Lease", name, LEASES, {"spec": {"renewTime": now_micro()}})


def main() -> None:
    """Send heartbeats forever; log a failure and try the next one."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    places = Places(name="", directory=Path(sys.argv[1]))
    pki = places.certificates
    context = client_context(str(pki / "ca.crt"), str(pki / "admin.crt"), str(pki / "admin.key"))
    api = KubeApi("/proc/self/ns/net", context)
    while True:
        began_s = time.monotonic()
        try:
            beat(api)
        except ClusterError as error:
            print(f"heartbeat: {error}", flush=True)
        time.sleep(max(0.0, _EVERY_S - (time.monotonic() - began_s)))


if __name__ == "__main__":
    main()
