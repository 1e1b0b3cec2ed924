"""The whole autoscaler within a test: real listeners, a real API server, everything that Knative does around it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dilu_autoscaler.knative import process as process_module
from dilu_autoscaler.knative.configuration.process_settings import Mode, ProcessSettings, map_names
from dilu_autoscaler.knative.process import Autoscaler
from dilu_autoscaler.knative.reports.stat_traffic import StatTraffic
from dilu_kube.client import KubeClient
from knative.process.knative_around import Activator, Knative, QueueProxies, RoutedClient
from kube.fake_api_server import ApiServer
from loops import run as run_on


@dataclass(kw_only=True)
class Cluster:
    """Everything but the autoscaler."""

    server: ApiServer
    knative: Knative
    activator: Activator
    pods: QueueProxies


@dataclass(kw_only=True)
class Process:
    """One autoscaler that runs."""

    autoscaler: Autoscaler
    traffic: StatTraffic
    port: int
    task: asyncio.Task[None]
    is_stopped: bool = False

    async def stop(self) -> None:
        """As a signal does."""
        if self.is_stopped:
            return
        self.is_stopped = True
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        await self.traffic.stop()


Main = Callable[[Cluster], Awaitable[None]]


def run(main: Main, folder: Path, *, within_s: float = 20.0, addresses: Sequence[str] = ()) -> None:
    """Run a test's coroutine with a cluster of its own, on the product's loop."""

    async def clustered_main() -> None:
        async with clustered(folder, addresses) as cluster:
            await main(cluster)

    run_on(clustered_main, loop="uvloop", within_s=within_s)


@asynccontextmanager
async def clustered(folder: Path, addresses: Sequence[str]) -> AsyncIterator[Cluster]:
    """Start a cluster whose pods get these addresses."""
    async with ApiServer(folder / "kubeconfig") as server:
        knative = Knative(server=server, addresses=list(addresses))
        activator, pods = Activator(), QueueProxies(addresses)
        try:
            await activator.listen()
            RoutedClient.routes.update(await pods.start())
            RoutedClient.routes["rev.ns.svc.cluster.local", 80] = ("127.0.0.1", activator.port)
            yield Cluster(server=server, knative=knative, activator=activator, pods=pods)
        finally:
            RoutedClient.routes.clear()
            await activator.close()
            await pods.stop()


@asynccontextmanager
async def autoscaling(
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    *,
    pod_ip: str = "127.0.0.1",
    mode: Mode = Mode.REPLACE,
    connects: bool = True,
    settles_s: float = 0.0,
    **more: Any,
) -> AsyncIterator[Process]:
    """Run an autoscaler in that cluster; the activator reports to it."""
    monkeypatch.setattr(process_module, "GetClient", RoutedClient)
    monkeypatch.setattr(process_module, "SETTLES_S", settles_s)
    settings = ProcessSettings(
        pod_name="dilu-autoscaler-1",
        pod_ip=pod_ip,
        mode=mode,
        host="127.0.0.1",
        stat_port=0,
        explain_port=0,
        map_names=map_names({}),
        **more,
    )
    traffic = StatTraffic(settings, time.time)
    port = await traffic.start()
    client = await KubeClient.connect(cluster.server.kubeconfig)
    autoscaler = Autoscaler(settings, client, traffic)
    task = asyncio.create_task(autoscaler.run())
    process = Process(autoscaler=autoscaler, traffic=traffic, port=port, task=task)
    try:
        if connects:
            await cluster.activator.connect(port)
        yield process
        assert process.is_stopped or not task.done(), task.exception()
    finally:
        await process.stop()
        await client.close()


async def for_a_while(seconds: float) -> None:
    """Wait for a time in which nothing must happen."""
    await asyncio.sleep(seconds)
