"""Events are written in the background, the same ones as one with a count."""

from __future__ import annotations

import asyncio
import itertools

from dilu_autoscaler.knative.objects import POD_AUTOSCALERS
from dilu_kube.errors import NotFound, Unreachable
from dilu_kube.event_recorder import EventRecorder
from dilu_kube.objects import Meta
from kube.fake_api_server import ApiServer, Run, answering, status
from loops import run_virtually

META = Meta(name="rev", namespace="ns", uid="uid-1", resource_version="7")
BEGAN_S = 1_800_000_000


class Writes:
    """What a client was asked to write; `error` is what it says instead."""

    def __init__(self) -> None:
        self.log: list[tuple[float, str, int]] = []
        self.error: Exception | None = None
        self.takes_s = 0.0

    def _note(self, what: str, count: int) -> None:
        self.log.append((asyncio.get_running_loop().time(), what, count))

    async def create(self, resource: object, namespace: str, body: dict[str, int]) -> None:
        await asyncio.sleep(self.takes_s)
        if isinstance(self.error, Unreachable):
            raise self.error
        self._note(f"create {body['message']}", body["count"])

    async def patch(self, resource: object, namespace: str, name: str, body: dict[str, int], **options: str) -> None:
        if self.error is not None:
            raise self.error
        self._note("patch", body["count"])


def recorder(writes: Writes) -> EventRecorder:
    return EventRecorder(writes, "test", lambda: BEGAN_S + asyncio.get_running_loop().time())  # type: ignore[arg-type]  # what it uses of a client


def tell(events: EventRecorder, message: str = "m", uid: str = "uid-1") -> None:
    meta = Meta(name="rev", namespace="ns", uid=uid)
    events.record(POD_AUTOSCALERS, meta, type="Warning", reason="Bad", message=message)


def test_an_event_says_all_that_kubectl_shows(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        client = await server.client()
        written = asyncio.Event()

        async def noticed(server: ApiServer, request: object) -> object:
            written.set()
            return await answering(201, {})(server, request)  # type: ignore[arg-type]  # passed on as it is

        server.next("POST", noticed)  # type: ignore[arg-type]  # passed on as it is
        events = EventRecorder(client, "dilu-autoscaler", lambda: BEGAN_S, instance="pod-1")
        events.record(POD_AUTOSCALERS, META, type="Warning", reason="BadAnnotation", message="x" * 5000)
        await written.wait()
        await events.close()
        [request] = server.requests
        body = request.body
        assert request.path == "/api/v1/namespaces/ns/events"
        assert body["metadata"]["name"].startswith("rev.")
        assert body["involvedObject"] == {
            "apiVersion": "autoscaling.internal.knative.dev/v1alpha1",
            "kind": "PodAutoscaler",
            "namespace": "ns",
            "name": "rev",
            "uid": "uid-1",
            "resourceVersion": "7",
        }
        assert (body["type"], body["reason"], len(body["message"])) == ("Warning", "BadAnnotation", 1024)
        assert body["firstTimestamp"] == body["lastTimestamp"] == "2027-01-15T08:00:00Z"
        assert (body["source"], body["reportingInstance"]) == ({"component": "dilu-autoscaler"}, "pod-1")
        await client.close()

    run(main)


def test_a_refusal_is_dropped_and_counted(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        client = await server.client()
        server.next("POST", answering(403, status(403, "Forbidden", "no")))
        events = EventRecorder(client, "test", lambda: BEGAN_S)
        events.record(POD_AUTOSCALERS, META, type="Normal", reason="A", message="m")
        while not events.dropped:
            await asyncio.sleep(0.01)
        await events.close()
        await client.close()

    run(main)


def test_the_same_event_is_counted_at_most_once_a_minute() -> None:
    writes = Writes()

    async def main() -> None:
        events = recorder(writes)
        for _ in range(100):  # ten a minute
            tell(events)
            await asyncio.sleep(6)
        await asyncio.sleep(100)
        await events.close()

    run_virtually(main)
    times, whats, counts = zip(*writes.log, strict=True)
    assert (times[0], counts[0], counts[-1]) == (0, 1, 100)
    assert whats == ("create m", *["patch"] * 10)
    assert all(after - before >= 60 for before, after in itertools.pairwise(times))


def test_after_ten_quiet_minutes_it_is_a_new_event() -> None:
    writes = Writes()

    async def main() -> None:
        events = recorder(writes)
        tell(events)
        await asyncio.sleep(601)
        tell(events)
        tell(events, uid="uid-2")
        tell(events, message="other")
        await asyncio.sleep(1)
        await events.close()

    run_virtually(main)
    assert [what for _, what, _ in writes.log] == ["create m", "create m", "create m", "create other"]


def test_an_event_that_the_server_has_forgotten_is_made_again() -> None:
    writes = Writes()
    writes.error = NotFound("patch /x: 404 not found", status=404)

    async def main() -> None:
        events = recorder(writes)
        tell(events)
        await asyncio.sleep(100)
        tell(events)
        await asyncio.sleep(100)
        assert not events.dropped
        await events.close()

    run_virtually(main)
    assert writes.log == [(0, "create m", 1), (100, "create m", 2)]


def test_an_outage_drops_events_and_does_not_grow() -> None:
    writes = Writes()
    writes.error = Unreachable("create /x: no answer within 10 s")
    writes.takes_s = 10

    async def main() -> None:
        events = recorder(writes)
        for number in range(3000):
            tell(events, message=str(number))
        assert len(events._events) == 1000
        assert events.dropped == 2000
        await asyncio.sleep(20_000)
        assert not events._events
        writes.error, writes.takes_s = None, 0
        tell(events, message="0")
        await asyncio.sleep(1)
        await events.close()

    run_virtually(main)
    assert [what for _, what, _ in writes.log] == ["create 0"]
