"""The API server as leases see it, in memory: versions, conflicts, lost requests and lost answers."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from dilu_kube.client import MERGE_PATCH, KubeClient
from dilu_kube.decoding import KubeObject
from dilu_kube.errors import AlreadyExists, Conflict, NotFound, Unreachable
from dilu_kube.resources import LEASES, Resource

T = TypeVar("T", bound=KubeObject)
NAMESPACE = "knative-serving"
BUCKET = "autoscaler-bucket-00-of-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    by: str
    verb: str
    plural: str
    name: str


class Store:
    """What is stored, and what was asked, answered or not."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[Request] = []
        self.on_write: Callable[[str], None] = lambda by: None
        self._version = 0

    def read(self, resource: Resource, name: str) -> dict[str, Any]:
        try:
            return copy.deepcopy(self.objects[resource.plural, name])
        except KeyError:
            raise NotFound(f"{resource.plural} {name}: not found", status=404) from None

    def create(self, resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
        name = body["metadata"]["name"]
        if (resource.plural, name) in self.objects:
            raise AlreadyExists(f"{resource.plural} {name}: exists", status=409)
        assert "resourceVersion" not in body["metadata"]
        assert (body["apiVersion"], body["kind"]) == (resource.api_version, resource.kind)
        return self._put(resource, name, copy.deepcopy(dict(body)))

    def replace(self, resource: Resource, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self._check_version(resource, name, body)
        return self._put(resource, name, copy.deepcopy(dict(body)))

    def merge(self, resource: Resource, name: str, change: Mapping[str, Any]) -> dict[str, Any]:
        self._check_version(resource, name, change)
        return self._put(resource, name, _merged(self.read(resource, name), change))

    def delete(self, resource: Resource, name: str) -> None:
        self.read(resource, name)
        del self.objects[resource.plural, name]

    def _check_version(self, resource: Resource, name: str, body: Mapping[str, Any]) -> None:
        stored = self.read(resource, name)["metadata"]["resourceVersion"]
        if body.get("metadata", {}).get("resourceVersion", stored) != stored:
            raise Conflict(f"{resource.plural} {name}: the object has been modified", status=409)

    def _put(self, resource: Resource, name: str, new: dict[str, Any]) -> dict[str, Any]:
        before = self.objects.get((resource.plural, name))
        if before is not None:
            new["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
            if new == before:  # the server writes nothing then
                return copy.deepcopy(before)
        self._version += 1
        new["metadata"]["resourceVersion"] = str(self._version)
        self.objects[resource.plural, name] = new
        return copy.deepcopy(new)

    def lease(self, name: str = BUCKET) -> dict[str, Any]:
        """A lease's spec."""
        spec: dict[str, Any] = self.read(LEASES, name)["spec"]
        return spec

    def put_lease(self, holder: str | None, *, name: str = BUCKET, duration_s: int | None = 15, **more: Any) -> None:
        """Somebody else writes a lease, whatever was there."""
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": duration_s,
            "renewTime": "2020-01-01T00:00:00.000000Z",
        }
        said = {key: value for key, value in {**spec, **more}.items() if value is not None}
        self._put(LEASES, name, {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": said})

    def verbs(self, by: str) -> list[str]:
        return [request.verb for request in self.requests if request.by == by]

    def writers(self) -> list[str]:
        return [request.by for request in self.requests if request.verb != "get"]


def _merged(stored: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in change.items():
        if value is None:
            stored.pop(key, None)
        elif isinstance(value, Mapping):
            stored[key] = _merged(stored.get(key, {}), value)
        else:
            stored[key] = value
    return stored


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
            task.exception()  # seen, also where nobody waits for it any more

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

    def __init__(self, store: Store, name: str, line: Line | None = None) -> None:
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
