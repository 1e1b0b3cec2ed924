"""A running cluster in the hands of a test or of the command line."""

from __future__ import annotations

import http.client
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from .api import KubeApi
from .errors import ClusterError
from .network import NODE_IP
from .places import Places, places_of
from .record import Record, read_record
from .sandbox import Sandbox
from .sockets import ClusterConnection, client_context

_IMPORT_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A whole HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")


class Cluster:
    """One cluster that runs."""

    def __init__(self, places: Places, record: Record) -> None:
        if record.init is None:
            raise ClusterError(f"cluster {record.name} has no process: run `down`, then `up`")
        self.places = places
        self.record = record
        self.sandbox = Sandbox(init=record.init, control=places.control)

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def node(self) -> str:
        """The name of its real node."""
        return f"{self.name}-node"

    @cached_property
    def api(self) -> KubeApi:
        """The Kubernetes API, as administrator."""
        pki = self.places.certificates
        context = client_context(str(pki / "ca.crt"), str(pki / "admin.crt"), str(pki / "admin.key"))
        return KubeApi(self.sandbox.network, context)

    def environment(self) -> dict[str, str]:
        """Return the environment in which kubectl, kn and helm talk to this cluster, once they run in its network."""
        return {
            "KUBECONFIG": str(self.places.kubeconfig),
            "PATH": f"{self.record.programs}:{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin",
            "DILU_TEST_CLUSTER": self.name,
            "DILU_TEST_CLUSTER_NETWORK": self.sandbox.network,
            "DILU_TEST_CLUSTER_NODE_IP": NODE_IP,
        }

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command that runs `argv` in the cluster's network, with the caller's files."""
        return self.sandbox.in_network(argv)

    def run(
        self, *argv: str, timeout_s: float = 120.0, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a program such as kubectl, kn or helm in the cluster's network; return its output, raise if it fails."""
        environment = {**os.environ, **self.environment()}
        done = subprocess.run(
            self.command(argv),
            env=environment,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode != 0:
            raise ClusterError(f"{' '.join(argv)}: exit code {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
        return done

    def load_image(self, archive: Path) -> None:
        """Load the images of a docker or OCI archive onto the node; pods find them by their names."""
        try:
            file = archive.open("rb")
        except OSError as error:
            raise ClusterError(
                f"{archive}: {error.strerror}. Write it with `buildah push NAME docker-archive:FILE:NAME`."
            ) from error
        command = self.sandbox.inside(["ctr", "--namespace", "k8s.io", "images", "import", "-"])
        with file:
            done = subprocess.run(command, stdin=file, capture_output=True, text=True, timeout=_IMPORT_S, check=False)
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
            raise ClusterError(f"{archive}: not an archive that containerd takes: {lines[-1]}")

    def http(
        self,
        url: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
        port: int = 80,
    ) -> Response:
        """Send a request to Kourier for the host that the URL names, and return the answer."""
        parts = urlsplit(url)
        if not parts.hostname:
            raise ClusterError(f"URL {url!r}: want http://HOST/PATH")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with closing(ClusterConnection(self.sandbox.network, NODE_IP, port, timeout_s=timeout_s)) as connection:
            try:
                connection.request(method, target, body, {"Host": parts.netloc, **(headers or {})})
                response = connection.getresponse()
                found = {name.lower(): value for name, value in response.getheaders()}
                return Response(status=response.status, headers=found, body=response.read())
            except http.client.HTTPException as error:
                raise ClusterError(f"{method} {url}: {error!r}") from error


def open_cluster(name: str) -> Cluster:
    """Return the running cluster with this name."""
    places = places_of(name)
    record = read_record(places)
    if record is None:
        raise ClusterError(f"no cluster {name} runs: start it with `python -m tools.testcluster --name {name} up`")
    if record.init is None or not record.init.runs():
        raise ClusterError(f"cluster {name} is not running any more: `down` removes what is left, then `up`")
    if not record.ready:
        raise ClusterError(f"cluster {name} is being started, or its start was cut off: wait, or run `down`, then `up`")
    return Cluster(places, record)
