"""The API server as processes that hold leases see it, in memory: versions, conflicts, lost requests and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from dilu_kube.client import MERGE_PATCH, KubeClient
from dilu_kube.decoding import KubeObject
from dilu_kube.errors import Conflict, NotFound, Status, Unreachable, refusal
from dilu_kube.resources import LEASES, Resource
from kube.object_store import Key, ObjectStore, RefusedError

T = TypeVar("T", bound=KubeObject)
NAMESPACE = "knative-serving"
BUCKET = "autoscaler-bucket-00-of-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    by: str
    verb: str
    plural: str
    name: str


class LeaseStore:
    """What is stored in one namespace, and what was requested, answered or not."""

    def __init__(self) -> None:
        self.objects = ObjectStore()
        self.requests: list[Request] = []
        self.on_write: Callable[[str], None] = lambda by: None

    def stored(self, resource: Resource, name: str) -> dict[str, Any]:
        """Return the object itself, for changes without a new version."""
        return self.objects.objects[_key(resource, name)]

    def read(self, resource: Resource, name: str) -> dict[str, Any]:
        with _as_the_client_raises("get", resource, name):
            return self.objects.read(_key(resource, name))

    def create(self, resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
        name = body["metadata"]["name"]
        assert "resourceVersion" not in body["metadata"]
        assert (body["apiVersion"], body["kind"]) == (resource.api_version, resource.kind)
        with _as_the_client_raises("create", resource, name):
            return self.objects.create(_key(resource, name), body)

    def replace(self, resource: Resource, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        with _as_the_client_raises("replace", resource, name):
            return self.objects.replace(_key(resource, name), body)

    def merge(self, resource: Resource, name: str, change: Mapping[str, Any]) -> dict[str, Any]:
        with _as_the_client_raises("patch", resource, name):
            return self.objects.merge(_key(resource, name), change)

    def delete(self, resource: Resource, name: str) -> None:
        with _as_the_client_raises("delete", resource, name):
            self.objects.remove(_key(resource, name))

    def lease(self, name: str = BUCKET) -> dict[str, Any]:
        """Return a lease's spec."""
        spec: dict[str, Any] = self.read(LEASES, name)["spec"]
        return spec

    def put_lease(self, holder: str | None, *, name: str = BUCKET, duration_s: int | None = 15, **more: Any) -> None:
        """Write a lease as another program would, whatever was there."""
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": duration_s,
            "renewTime": "2020-01-01T00:00:00.000000Z",
        }
        given = {key: value for key, value in {**spec, **more}.items() if value is not None}
        self.objects.put(LEASES, {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": given})

    def verbs(self, by: str) -> list[str]:
        return [request.verb for request in self.requests if request.by == by]

    def writers(self) -> list[str]:
        return [request.by for request in self.requests if request.verb != "get"]


def _key(resource: Resource, name: str) -> Key:
    return resource.plural, NAMESPACE, name


@contextmanager
def _as_the_client_raises(verb: str, resource: Resource, name: str) -> Iterator[None]:
    try:
        yield
    except RefusedError as error:
        answer = Status(message=str(error), reason=error.reason)
        raise refusal(verb, f"{resource.plural}/{name}", error.code, answer) from None


@dataclass(kw_only=True)
class Line:
    """The way to the server and back. A request that has left arrives, even if its sender has given up on it."""

    there_s: Callable[[], float | None] = lambda: 0.0  # None: it is lost
    back_s: Callable[[], float | None] = lambda: 0.0
    is_down: bool = False  # refused at once
    frozen_until: Callable[[], float] = lambda: 0.0
    under_way: set[asyncio.Task[Any]] = field(default_factory=set)

    async def carry(self, what: str, request: Callable[[], Any]) -> Any:
        await self._thawed()
        if self.is_down:
            raise Unreachable(f"{what}: connection refused")
        task = asyncio.ensure_future(self._exchange(what, request))
        self.under_way.add(task)
        task.add_done_callback(self._ended)
        answer = await asyncio.shield(task)
        await self._thawed()
        return answer

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.under_way.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, also where its sender has given up

    async def _exchange(self, what: str, request: Callable[[], Any]) -> Any:
        await self._pass(what, self.there_s())
        try:
            answer = request()
        except (Conflict, NotFound) as error:
            await self._pass(what, self.back_s())
            raise error
        await self._pass(what, self.back_s())
        return answer

    async def _pass(self, what: str, delay_s: float | None) -> None:
        await asyncio.sleep(10.0 if delay_s is None else delay_s)
        if delay_s is None:
            raise Unreachable(f"{what}: no answer within 10 s")

    async def _thawed(self) -> None:
        while (left_s := self.frozen_until() - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(left_s)

    async def close(self) -> None:
        for task in list(self.under_way):
            task.cancel()
        await asyncio.gather(*self.under_way, return_exceptions=True)


class MemoryClient(KubeClient):
    """One process's client of that server."""

    def __init__(self, store: LeaseStore, name: str, line: Line | None = None) -> None:
        self.store = store
        self.name = name
        self.line = line or Line()

    async def get(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        type: type[T],  # noqa: A002 - the client's word
        subresource: str = "",
    ) -> T:
        found = await self._ask("get", resource, name, lambda: self.store.read(resource, name))
        return msgspec.json.decode(found, type=type)

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> bytes:
        assert body["metadata"]["namespace"] == namespace == NAMESPACE
        name = body["metadata"]["name"]
        return await self._ask("create", resource, name, lambda: self.store.create(resource, body))

    async def replace(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], *, subresource: str = ""
    ) -> bytes:
        assert body["metadata"]["resourceVersion"]
        return await self._ask("replace", resource, name, lambda: self.store.replace(resource, name, body))

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Any,
        *,
        content_type: str,
        subresource: str = "",
    ) -> bytes:
        assert content_type == MERGE_PATCH
        assert body["metadata"]["resourceVersion"]
        return await self._ask("patch", resource, name, lambda: self.store.merge(resource, name, body))

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        await self._ask("delete", resource, name, lambda: self.store.delete(resource, name))

    async def _ask(self, verb: str, resource: Resource, name: str, request: Callable[[], Any]) -> bytes:
        def executed() -> bytes:
            self.store.requests.append(Request(by=self.name, verb=verb, plural=resource.plural, name=name))
            answer = msgspec.json.encode(request())
            if verb != "get":
                self.store.on_write(self.name)
            return answer

        answer: bytes = await self.line.carry(f"{verb} {resource.plural} {name}", executed)
        return answer

    async def close(self) -> None:
        await self.line.close()
