"""A way from this process to a cluster's API server, and hands on the server's own process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from testcluster import components
from testcluster.cluster import Cluster
from testcluster.health import start_and_wait, wait_healthy
from testcluster.network import API_PORT, NODE_IP
from testcluster.sockets import connect_in, unchecked_context

API_SERVER: Final = "kube-apiserver"


class ApiRelay:
    """Listens on this machine and passes bytes on to the API server; `freeze()` makes a broken network of it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def freeze(self) -> None:
        """From now on no byte gets through, and no connection ends: half-open, as after a pulled cable."""
        self._flows.clear()

    def thaw(self) -> None:
        """All that was held back gets through."""
        self._flows.set()

    def kubeconfig(self, path: Path) -> Path:
        """A kubeconfig of the administrator that leads through here."""
        pki = self._cluster.places.certificates
        server = {
            "server": f"https://127.0.0.1:{self.port}",
            "tls-server-name": NODE_IP,
            "certificate-authority": str(pki / "ca.crt"),
        }
        user = {"client-certificate": str(pki / "admin.crt"), "client-key": str(pki / "admin.key")}
        config = {
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "clusters": [{"name": "test", "cluster": server}],
            "users": [{"name": "admin", "user": user}],
        }
        path.write_text(json.dumps(config))
        return path

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._relay(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the server is down, or the test ends; the client sees its connection close
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flows.wait()
        made = await asyncio.to_thread(connect_in, self._cluster.sandbox.network, (NODE_IP, API_PORT), 5.0)
        made.setblocking(False)
        there_reader, there_writer = await asyncio.open_connection(sock=made)
        both = [
            asyncio.create_task(self._pump(reader, there_writer)),
            asyncio.create_task(self._pump(there_reader, writer)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            there_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()


def component_pid(cluster: Cluster, name: str) -> int:
    """The process number of a component of the cluster, as this machine sees it."""
    assert cluster.record.init is not None
    init = cluster.record.init.pid
    children = Path(f"/proc/{init}/task/{init}/children").read_text().split()
    [found] = [int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() == name]
    return found


@contextmanager
def frozen_api_server(cluster: Cluster) -> Iterator[None]:
    """The API server takes connections, and answers nothing."""
    pid = component_pid(cluster, API_SERVER)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        wait_healthy(cluster.sandbox, cluster.places, _component(cluster), unchecked_context())


@contextmanager
def dead_api_server(cluster: Cluster) -> Iterator[None]:
    """The API server was killed; it runs again after this."""
    cluster.sandbox.stop(API_SERVER, number=signal.SIGKILL)
    cluster.api.close()
    try:
        yield
    finally:
        start_and_wait(cluster.sandbox, cluster.places, _component(cluster), unchecked_context())


_AUDIT_POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "verbs": ["create", "update", "patch", "delete"]}, {"level": "None"}],
}
_POD_NAME: Final = "authentication.kubernetes.io/pod-name"


@dataclass(frozen=True, slots=True)
class Audit:
    """The API server's own log of writes."""

    log: Path

    def writers(self) -> Counter[str]:
        """How many writes each pod has sent so far, by what its token says of it."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        writes = [json.loads(line) for line in lines if line.endswith("}")]  # the last one may be half written
        return Counter(name for write in writes for name in write["user"].get("extra", {}).get(_POD_NAME, ()))


@contextmanager
def audited_api_server(cluster: Cluster) -> Iterator[Audit]:
    """The API server notes who writes; for that it is started again, and once more afterwards."""
    usual = _component(cluster)
    folder = cluster.places.configuration
    policy, audit = folder / "audit-policy.json", Audit(cluster.places.logs / "audit.jsonl")
    policy.write_text(json.dumps(_AUDIT_POLICY))
    audit.log.unlink(missing_ok=True)
    flags = (f"--audit-policy-file={policy}", f"--audit-log-path={audit.log}", "--audit-log-mode=blocking")
    _start_again(cluster, replace(usual, argv=(*usual.argv, *flags)))
    try:
        yield audit
    finally:
        _start_again(cluster, usual)


def _start_again(cluster: Cluster, component: components.Component) -> None:
    cluster.sandbox.stop(API_SERVER, number=signal.SIGKILL)
    cluster.api.close()
    start_and_wait(cluster.sandbox, cluster.places, component, unchecked_context())


def _component(cluster: Cluster) -> components.Component:
    return components.api_server(cluster.places, str(Path(cluster.record.programs) / API_SERVER))
