"""What is said before an installation, and after it: the chart's hook `check`, and `helm test`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from chart.fake_cluster import OURS, STOCK, FakeCluster, deployment
from dilu_autoscaler.knative.installing.check import check_addresses, check_leases, our_addresses
from dilu_autoscaler.knative.installing.install_checks import Installation, require_installable
from dilu_autoscaler.knative.installing.workloads import TakeoverError

MINE = Installation(release="dilu", scales_stock=True)


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    def playing(scene: Callable[[FakeCluster], Awaitable[None]], *, buckets: int = 1) -> None:
        async def within() -> None:
            async with FakeCluster(tmp_path, buckets=buckets) as cluster:
                del cluster.deployments[OURS]
                await scene(cluster)

        asyncio.run(within())

    return playing


@pytest.mark.parametrize(
    ("labels", "annotations", "found"),
    [
        ({"app.kubernetes.io/version": "1.21.0"}, {}, "1.21.0"),
        ({"app.kubernetes.io/version": "v1.23.4"}, {}, "v1.23.4"),
        ({}, {"serving.knative.dev/release": "v1.22.1"}, "v1.22.1"),
        ({"app.kubernetes.io/version": "devel"}, {}, "of an unknown version"),
        ({}, {}, "of an unknown version"),
    ],
)
def test_a_knative_that_dilu_knows(
    play: Callable[..., None], labels: dict[str, str], annotations: dict[str, str], found: str
) -> None:
    async def scene(cluster: FakeCluster) -> None:
        cluster.deployments[STOCK]["metadata"] |= {"labels": labels, "annotations": annotations}
        assert (
            await require_installable(cluster.serving, MINE) == f"Knative Serving {found} in namespace knative-serving"
        )

    play(scene)


@pytest.mark.parametrize("version", ["1.20.9", "1.24.0", "v0.26.0", "2.0"])
def test_another_version_is_refused_unless_one_insists(play: Callable[..., None], version: str) -> None:
    async def scene(cluster: FakeCluster) -> None:
        cluster.deployments[STOCK]["metadata"]["labels"] = {"app.kubernetes.io/version": version}
        with pytest.raises(TakeoverError, match=rf"{version}: Dilu was tried with 1\.21 to 1\.23.*checkVersion=false"):
            await require_installable(cluster.serving, MINE)
        await require_installable(cluster.serving, Installation(release="dilu", checks_version=False))

    play(scene)


def test_without_knative(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        cluster.kinds.remove("metrics")
        with pytest.raises(TakeoverError, match=r"the cluster has no Metric \(autoscaling\.internal\.knative\.dev"):
            await require_installable(cluster.serving, MINE)
        del cluster.deployments[STOCK]
        with pytest.raises(TakeoverError, match=r"has no Deployment autoscaler.*servingNamespace"):
            await require_installable(cluster.serving, MINE)

    play(scene)


def test_a_second_installation_is_refused_and_an_upgrade_is_none(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        cluster.deployments[OURS] = deployment(OURS, 2, labels={"app.kubernetes.io/instance": "other"})
        with pytest.raises(TakeoverError, match="installed already, as release other"):
            await require_installable(cluster.serving, MINE)
        await require_installable(cluster.serving, Installation(release="other"))

    play(scene)


def test_an_operators_knative_is_refused_only_where_it_would_be_scaled(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        owner = {"kind": "KnativeServing", "name": "mine"}
        cluster.deployments[STOCK]["metadata"]["ownerReferences"] = [owner]
        with pytest.raises(TakeoverError, match=r"KnativeServing mine.*replicas: 0"):
            await require_installable(cluster.serving, MINE)
        await require_installable(cluster.serving, Installation(release="dilu"))

    play(scene)


def test_leases_that_are_ours_and_renewed(play: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        cluster.deployments[OURS] = deployment(OURS, 2)
        cluster.holders = dict.fromkeys(cluster.holders, OURS)
        await check_leases(cluster.serving)

    play(scene, buckets=2)
    assert capsys.readouterr().out.count("dilu-autoscaler-abc, renewed") == 2


def test_a_lease_of_stock_or_one_that_is_not_renewed(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        cluster.deployments[OURS] = deployment(OURS, 2)
        with pytest.raises(TakeoverError, match="held by autoscaler-abc, not by Dilu"):
            await check_leases(cluster.serving)
        cluster.holders = dict.fromkeys(cluster.holders, OURS)
        cluster.renews = False
        with pytest.raises(TakeoverError, match=r"not renewed for 0\.3 s: autoscaler-bucket-00-of-01"):
            await check_leases(cluster.serving)

    play(scene)


def test_addresses_are_those_of_ready_pods(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        cluster.deployments[OURS] = deployment(OURS, 0)
        with pytest.raises(TakeoverError, match="has no ready pod"):
            await our_addresses(cluster.serving)
        cluster.deployments[OURS]["spec"]["replicas"] = 2
        assert await our_addresses(cluster.serving) == {f"{OURS}-0": "127.0.0.1", f"{OURS}-1": "127.0.0.1"}

    play(scene)


def test_an_address_answers_as_the_kubelet_wants_or_is_named() -> None:
    agents = []

    async def handle(request: web.Request) -> web.Response:
        agents.append(request.headers["User-Agent"])
        return web.Response(status=200 if len(agents) == 1 else 400)

    async def within() -> None:
        application = web.Application()
        application.router.add_get("/", handle)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port: int = runner.addresses[0][1]
        try:
            await check_addresses({"pod-1": "127.0.0.1"}, port)
            with pytest.raises(TakeoverError, match=r"pod-2 .*: status 400, must be 200"):
                await check_addresses({"pod-2": "127.0.0.1"}, port)
        finally:
            await runner.cleanup()
        with pytest.raises(TakeoverError, match=r"pod-3 .* does not answer"):
            await check_addresses({"pod-3": "127.0.0.1"}, port)

    asyncio.run(within())
    assert agents[0].startswith("kube-probe/")
