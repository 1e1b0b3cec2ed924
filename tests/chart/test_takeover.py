"""The hand-over: whatever goes wrong, an autoscaler runs, and what was changed is put back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from chart.fake_cluster import OURS, STOCK, FakeCluster
from dilu_autoscaler.knative.installing.takeover import leave, main, restore, take
from dilu_autoscaler.knative.installing.workloads import STOCK_REPLICAS, TakeoverError
from dilu_kube.client import KubeError

Scene = Callable[[FakeCluster], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    def playing(scene: Scene, *, buckets: int = 1) -> None:
        async def within() -> None:
            async with FakeCluster(tmp_path, buckets=buckets) as cluster:
                await scene(cluster)

        asyncio.run(within())

    return playing


def remembered(cluster: FakeCluster) -> str | None:
    found: str | None = cluster.deployments[STOCK]["metadata"]["annotations"].get(STOCK_REPLICAS)
    return found


def owned_by_operator(cluster: FakeCluster) -> None:
    owner = {"apiVersion": "operator.knative.dev/v1beta1", "kind": "KnativeServing", "name": "mine", "uid": "u"}
    cluster.deployments[STOCK]["metadata"]["ownerReferences"] = [owner]


def test_taking_scales_stock_to_zero_and_remembers_what_it_had(
    play: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    async def scene(cluster: FakeCluster) -> None:
        cluster.deployments[STOCK]["spec"]["replicas"] = 3
        await take(cluster.serving)
        assert (cluster.replicas, remembered(cluster)) == ({STOCK: 0, OURS: 2}, "3")
        assert set(cluster.holders.values()) == {OURS}

    play(scene, buckets=3)
    assert "zero replicas (it had 3)" in capsys.readouterr().out


def test_taking_twice_remembers_the_first(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        cluster.deployments[STOCK]["spec"]["replicas"] = 3
        await take(cluster.serving)
        await take(cluster.serving)
        assert remembered(cluster) == "3"
        assert len(cluster.patches) == 1

    play(scene)


def test_a_stock_that_was_scaled_up_since_is_taken_again(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        await take(cluster.serving)
        cluster.edit(STOCK)["spec"]["replicas"] = 2
        await take(cluster.serving)
        assert (cluster.replicas[STOCK], remembered(cluster)) == (0, "2")

    play(scene)


def test_a_stock_that_was_at_zero_comes_back_as_one(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        cluster.deployments[STOCK]["spec"]["replicas"] = 0
        await take(cluster.serving)
        await restore(cluster.serving)
        assert cluster.replicas[STOCK] == 1

    play(scene)


def test_nothing_is_taken_before_ours_is_available(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        cluster.stuck.add(OURS)
        with pytest.raises(TakeoverError, match=r"dilu-autoscaler: 0 of 2 replicas are available after 0\.3 s"):
            await take(cluster.serving)
        assert cluster.patches == []

    play(scene)


def test_stock_comes_back_if_ours_does_not_get_the_lease(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        cluster.takes = False
        with pytest.raises(TakeoverError, match=r"did not get its leases \(autoscaler-bucket-00-of-01: no pod\)"):
            await take(cluster.serving)
        assert (cluster.replicas[STOCK], remembered(cluster)) == (1, None)

    play(scene)


def test_an_operators_stock_is_not_touched(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        owned_by_operator(cluster)
        with pytest.raises(TakeoverError, match=r"KnativeServing mine.*takeover\.scaleStock=false"):
            await take(cluster.serving)
        assert cluster.patches == []

    play(scene)


def test_a_write_beside_another_is_made_again(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        others = iter([3, 4])

        def another_client_writes() -> None:
            if (replicas := next(others, None)) is not None:
                cluster.edit(STOCK)["spec"]["replicas"] = replicas

        cluster.before_write = another_client_writes
        await take(cluster.serving)
        assert (cluster.replicas[STOCK], remembered(cluster)) == (0, "4")

    play(scene)


@pytest.mark.parametrize("failures", [[0], [503, 500, 504]])
def test_a_server_that_is_away_for_a_moment_is_asked_again(play: Callable[..., None], failures: list[int]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        cluster.failures = failures
        await take(cluster.serving)
        assert cluster.replicas[STOCK] == 0

    play(scene)


def test_a_right_that_is_missing_is_said_at_once(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        cluster.failures = [403]
        with pytest.raises(KubeError, match="403"):
            await take(cluster.serving)
        assert cluster.patches == []

    play(scene)


def test_restoring_waits_until_stock_runs(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        await take(cluster.serving)
        cluster.stuck.add(STOCK)
        with pytest.raises(TakeoverError, match="autoscaler: 0 of 1 replicas are available"):
            await restore(cluster.serving)
        cluster.stuck.clear()
        await restore(cluster.serving)
        assert (cluster.replicas, remembered(cluster)) == ({STOCK: 1, OURS: 2}, None)

    play(scene)


@pytest.mark.parametrize("edited", ["", "many", "-3", "0"])
def test_a_note_that_cannot_be_read_means_one_replica(play: Callable[..., None], edited: str) -> None:
    async def scene(cluster: FakeCluster) -> None:
        await take(cluster.serving)
        cluster.edit(STOCK)["metadata"]["annotations"][STOCK_REPLICAS] = edited
        await restore(cluster.serving)
        assert cluster.replicas[STOCK] == 1

    play(scene)


def test_where_nothing_was_taken_nothing_is_restored(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        await restore(cluster.serving)
        assert cluster.patches == []

    play(scene)


def test_leaving_restores_stock_first_and_ends_ours_then(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        await take(cluster.serving)
        cluster.patches.clear()
        await leave(cluster.serving)
        assert [name for name, _ in cluster.patches] == [STOCK, OURS, STOCK]
        assert "restarted-at" in str(cluster.patches[-1])  # a fresh one takes the lease at once
        assert cluster.replicas == {STOCK: 1, OURS: 0}
        assert set(cluster.holders.values()) == {STOCK}

    play(scene)


def test_ours_is_not_ended_while_stock_does_not_run(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        await take(cluster.serving)
        cluster.stuck.add(STOCK)
        with pytest.raises(TakeoverError):
            await leave(cluster.serving)
        assert cluster.replicas[OURS] == 2

    play(scene)


def test_a_pod_of_ours_that_does_not_end_stops_the_removal(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        await take(cluster.serving)
        cluster.stuck.add(OURS)
        with pytest.raises(TakeoverError, match="1 pods of dilu-autoscaler do not end"):
            await leave(cluster.serving)

    play(scene)


def test_where_stock_holds_all_leases_leaving_changes_nothing(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        await leave(cluster.serving)
        assert cluster.patches == []

    play(scene)


def test_an_operator_that_holds_stock_at_zero_stops_the_removal(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        owned_by_operator(cluster)
        cluster.deployments[STOCK]["spec"]["replicas"] = 0
        with pytest.raises(TakeoverError, match=r"remove autoscaler from its spec\.workloads first"):
            await leave(cluster.serving)
        assert cluster.replicas[OURS] == 2

    play(scene)


def test_without_a_knative_there_is_nothing_to_restore(play: Callable[..., None]) -> None:
    async def scene(cluster: FakeCluster) -> None:
        del cluster.deployments[STOCK]
        await leave(cluster.serving)
        assert cluster.replicas[OURS] == 0

    play(scene)


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["take", "--kubeconfig", str(tmp_path / "none")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("dilu: kubeconfig")
    assert said.count("\n") == 1
