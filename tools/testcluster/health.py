"""Whether a component works, and what to tell when it does not."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from .components import Component
from .errors import ClusterError
from .places import Places
from .sandbox import Sandbox
from .sockets import ClusterConnection

_LINES_SHOWN: Final = 12
_PAUSE_S: Final = 0.05
_CAUSES: Final = (
    (r"address already in use", "Something in the cluster's network holds the port: run `down`, then `up`."),
    (r"no space left on device", "The disk is full."),
    (r"failed to find cgroup mounts", "The control groups are hidden: start the command outside of `ip netns exec`."),
    (r"running with swap on", "Swap is on and this kubelet does not take it."),
    (
        r"operation not permitted|permission denied",
        "A capability is missing: is this a container without --privileged?",
    ),
    (r"x509: certificate has expired", "Certificates last 30 days, or the clock is wrong: run `down`, then `up`."),
    (
        r"Table does not exist|can't initialize iptables",
        "The kernel has no packet filter tables (nf_tables or ip_tables).",
    ),
)


def start_and_wait(sandbox: Sandbox, places: Places, component: Component, context: ssl.SSLContext) -> None:
    """Start a component and return when it reports that it works."""
    sandbox.start(component.name, component.argv, component.environment)
    wait_healthy(sandbox, places, component, context)


def wait_healthy(sandbox: Sandbox, places: Places, component: Component, context: ssl.SSLContext) -> None:
    """Return when the component reports that it works; raise with its last lines if it ends or takes too long."""
    deadline_s = time.monotonic() + component.timeout_s
    while not is_healthy(sandbox, component, context):
        code = sandbox.states().get(component.name)
        if code is not None:
            raise ClusterError(explained(places, component.name, f"ended with exit code {code}"))
        if time.monotonic() > deadline_s:
            raise ClusterError(explained(places, component.name, f"does not work after {component.timeout_s:.0f} s"))
        time.sleep(_PAUSE_S)  # none of them tells when it is ready


def is_healthy(sandbox: Sandbox, component: Component, context: ssl.SSLContext) -> bool:
    """Whether the component answers now."""
    if component.health.startswith("/"):
        return _accepts(sandbox.root / component.health.lstrip("/"))
    return not component.health or _answers(sandbox, component.health, context)


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        return probe.connect_ex(str(path)) == 0


def _answers(sandbox: Sandbox, url: str, context: ssl.SSLContext) -> bool:
    parts = urlsplit(url)
    chosen = context if parts.scheme == "https" else None
    connection = ClusterConnection(sandbox.network, parts.hostname or "", parts.port or 0, timeout_s=2, context=chosen)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", parts.path)
        return connection.getresponse().status == 200
    return False


def explained(places: Places, name: str, what: str) -> str:
    """Return the failure with the last lines of the component's log and the probable cause."""
    log = places.logs / f"{name}.log"
    text = log.read_text(errors="replace") if log.exists() else ""
    tail = text.splitlines()[-_LINES_SHOWN:]
    hints = [hint for pattern, hint in _CAUSES if re.search(pattern, "\n".join(tail), re.IGNORECASE)]
    return "\n".join([f"{name} {what}. The end of {log}:", *(f"  {line[:400]}" for line in tail), *hints[:1]])
