"""Plans are carried out in order, each write only while the bucket is ours; or it is only said what would be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dilu_autoscaler.knative.objects import POD_AUTOSCALERS
from dilu_autoscaler.knative.reconciling.owned_objects import sks_spec, sks_write
from dilu_autoscaler.knative.reconciling.writer import LostBucketError, Writer
from dilu_autoscaler.knative.reconciling.writes import Write, WriteKind, scale_to, status_write
from dilu_kube.client import Conflict, Forbidden, KubeClient, NotFound
from dilu_kube.resources import DEPLOYMENTS
from knative.revisions import TARGET, autoscaler
from kube.fake_api_server import ApiServer
from kube.object_store import RefusedError
from loops import Run

KEY = "ns/rev"
PA = autoscaler(service_name="rev", metrics_service_name="rev-private")


def scale(replicas: int) -> Write:
    return scale_to(TARGET, "ns", replicas)


def status(desired: int, actual: int = 0) -> Write:
    write = status_write(PA, replace_status(desired, actual))
    assert write is not None
    body: dict[str, Any] = {**write.body} if isinstance(write.body, dict) else {}
    body["metadata"] = {"name": "rev", "namespace": "ns"}
    return replace(write, body=body)


def replace_status(desired: int, actual: int) -> Any:
    return autoscaler(desired_scale=desired, actual_scale=actual).status


def services() -> Write:
    write = sks_write(PA, None, sks_spec(PA, "Proxy", 2))
    assert write is not None
    return write


class Writing:
    """A writer before an API server; the test says when the bucket is ours."""

    def __init__(self, server: ApiServer, client: KubeClient, *, writes: bool) -> None:
        self.server = server
        self.ours = True
        self.order: list[str] = []
        server.refuses = self.note
        self.refusal: Callable[[str], RefusedError | None] = lambda plural: None
        self.writer = Writer(
            client, may_write=lambda key: self.ours, writes=writes, before_scale_down=self.before_scale_down
        )

    def note(self, asked: Any) -> RefusedError | None:
        self.order.append("/".join(part for part in (asked.plural, asked.subresource) if part))
        return self.refusal(asked.plural)

    async def before_scale_down(self, key: str, going: int) -> None:
        self.order.append(f"{going} go")


@asynccontextmanager
async def writing(folder: Path, *, writes: bool = True) -> AsyncIterator[Writing]:
    async with ApiServer(folder / "kubeconfig") as server:
        client = await KubeClient.connect(server.kubeconfig)
        server.put(POD_AUTOSCALERS, {"metadata": {"name": "rev", "namespace": "ns"}, "spec": {}})
        server.put(DEPLOYMENTS, {"metadata": {"name": TARGET.name, "namespace": "ns"}, "spec": {"replicas": 3}})
        try:
            yield Writing(server, client, writes=writes)
        finally:
            await client.close()


@pytest.fixture
def carry_out(run: Run, tmp_path: Path) -> Callable[[Callable[[Writing], Coroutine[Any, Any, None]], bool], None]:
    def start(main: Callable[[Writing], Coroutine[Any, Any, None]], writes: bool = True) -> None:
        async def started() -> None:
            async with writing(tmp_path, writes=writes) as made:
                await main(made)

        run(started)

    return start


CarryOut = Callable[..., None]


def test_writes_are_carried_out_in_their_order_and_counted(carry_out: CarryOut) -> None:
    async def main(made: Writing) -> None:
        await made.writer.write(KEY, [services(), scale(5), status(5)])
        assert made.order == ["serverlessservices", "deployments/scale", "podautoscalers/status"]
        assert made.writer.written[WriteKind.SCALE] == 1
        assert sum(made.writer.written.values()) == 3
        found = made.server.get(DEPLOYMENTS, "ns", TARGET.name)
        assert found is not None
        assert found["spec"]["replicas"] == 5

    carry_out(main)


def test_a_bucket_that_is_lost_between_two_writes_ends_them(carry_out: CarryOut) -> None:
    async def main(made: Writing) -> None:
        def lost(plural: str) -> None:
            made.ours = False

        made.refusal = lost  # while the first one is under way
        with pytest.raises(LostBucketError):
            await made.writer.write(KEY, [services(), scale(0), status(0)])
        assert made.order == ["serverlessservices"]
        assert made.writer.prevented == 1

    carry_out(main)


def test_without_the_bucket_no_pod_is_marked_either(carry_out: CarryOut) -> None:
    async def main(made: Writing) -> None:
        made.ours = False
        with pytest.raises(LostBucketError):
            await made.writer.write(KEY, [scale(1)], going=2)
        assert made.order == []

    carry_out(main)


def test_pods_are_marked_before_replicas_go_and_only_then(carry_out: CarryOut) -> None:
    async def main(made: Writing) -> None:
        await made.writer.write(KEY, [scale(1), status(1)], going=2)
        assert made.order == ["2 go", "deployments/scale", "podautoscalers/status"]
        made.order.clear()
        await made.writer.write(KEY, [scale(4)], going=0)
        await made.writer.write(KEY, [status(3)], going=1)
        assert made.order == ["deployments/scale", "podautoscalers/status"]

    carry_out(main)


def test_a_write_that_fails_leaves_its_status_and_ends_the_plan(carry_out: CarryOut) -> None:
    async def main(made: Writing) -> None:
        made.refusal = lambda plural: RefusedError(403, "Forbidden") if plural == "deployments" else None
        with pytest.raises(Forbidden):
            await made.writer.write(KEY, [replace(scale(5), if_it_fails=status(1)), status(5)])
        assert made.order == ["deployments/scale", "podautoscalers/status"]
        found = made.server.get(POD_AUTOSCALERS, "ns", "rev")
        assert found is not None
        assert found["status"]["desiredScale"] == 1
        assert made.writer.errors == {"patch": 1}
        assert made.writer.written[WriteKind.SCALE] == 0

    carry_out(main)


def test_what_is_there_already_need_not_be_created(carry_out: CarryOut) -> None:
    async def main(made: Writing) -> None:
        await made.writer.write(KEY, [services()])
        await made.writer.write(KEY, [services(), scale(4)])
        assert made.order[-1] == "deployments/scale"
        assert made.writer.errors == {}

    carry_out(main)


@pytest.mark.parametrize(("code", "reason", "error"), [(409, "Conflict", Conflict), (404, "NotFound", NotFound)])
def test_what_the_api_refuses_is_raised(carry_out: CarryOut, code: int, reason: str, error: type[Exception]) -> None:
    async def main(made: Writing) -> None:
        made.refusal = lambda plural: RefusedError(code, reason)
        with pytest.raises(error):
            await made.writer.write(KEY, [status(4)])

    carry_out(main)


def test_a_dry_run_says_what_would_be_written_once_and_writes_nothing(
    carry_out: CarryOut, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(made: Writing) -> None:
        await made.writer.write(KEY, [scale(4), status(4)], going=1)
        await made.writer.write(KEY, [scale(4), status(4, 1)])  # its times are others each time
        said = [record.message for record in caplog.records]
        assert said == [
            "dry run: ns/rev would scale ns/rev-deployment to 4",
            "dry run: ns/rev would put-status ns/rev",
        ]
        await made.writer.write(KEY, [scale(5)])
        await made.writer.write("ns/other", [scale(5)])
        assert len(caplog.records) == 4
        made.writer.forget(KEY)
        await made.writer.write(KEY, [scale(5)])
        assert len(caplog.records) == 5
        assert made.order == []

    caplog.set_level(logging.INFO, "dilu_autoscaler")
    carry_out(main, False)


def test_a_plan_that_is_cancelled_writes_no_more(carry_out: CarryOut) -> None:
    async def main(made: Writing) -> None:
        begun, held = asyncio.Event(), asyncio.Event()

        async def hold(key: str, going: int) -> None:
            begun.set()
            await held.wait()

        made.writer._before_scale_down = hold
        task = asyncio.create_task(made.writer.write(KEY, [scale(1), status(1)], going=2))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert made.order == []

    carry_out(main)
