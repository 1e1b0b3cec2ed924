"""A small API server for all kinds that the autoscaler reads and writes, with versions, conflicts, watches, outages."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from dilu_kube.resources import Resource

Object = dict[str, Any]
MERGE_PATCH: Final = "application/merge-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request that changes something."""

    method: str
    plural: str
    namespace: str
    name: str
    subresource: str
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class _Path:
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


class RefusedError(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class KubeServer:
    """Everything in memory; `on_change` is called after each change, as controllers would notice it."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.on_change: Callable[[str, Object], None] = lambda plural, found: None
        self.asked: list[Asked] = []
        self.refuses: Callable[[Asked], RefusedError | None] = lambda asked: None
        self.hangs = False  # takes requests and answers none
        self.port = 0
        self._version = 100
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._history: dict[str, list[tuple[int, str, Object]]] = {}
        self._news = asyncio.Event()
        self._watches: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        server = f"http://127.0.0.1:{self.port}"
        named = {"current-context": "test", "users": [{"name": "test", "user": {}}]}
        contexts = [{"name": "test", "context": {"cluster": "test", "user": "test"}}]
        clusters = [{"name": "test", "cluster": {"server": server}}]
        self.kubeconfig.write_text(json.dumps({**named, "contexts": contexts, "clusters": clusters}))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen; on the same port as before after a `close`."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """End with all connections; what is stored stays."""
        if self._runner is not None:
            for task in list(self._watches):
                task.cancel()
            runner, self._runner = self._runner, None
            await runner.cleanup()

    # -- for the tests

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """One object as it is stored."""
        found = self._objects.get((resource.plural, namespace, name))
        return None if found is None else copy.deepcopy(found)

    def put(self, resource: Resource, body: Mapping[str, Any]) -> None:
        """Store an object, whatever was there; its status too."""
        metadata = body["metadata"]
        key = (resource.plural, metadata.get("namespace", ""), metadata["name"])
        known = self._objects.get(key)
        new = copy.deepcopy(dict(body))
        if known is None:
            new["metadata"] = {"uid": f"uid-{self._version}", "generation": 1, **new["metadata"]}
        else:
            kept = {name: known["metadata"][name] for name in ("uid", "generation")}
            new["metadata"] = {**new["metadata"], **kept}
        self._store(key, new, "ADDED" if known is None else "MODIFIED")

    def change(self, resource: Resource, namespace: str, name: str, change: Mapping[str, Any]) -> None:
        """Merge something into an object."""
        key = (resource.plural, namespace, name)
        self._store(key, _merged(copy.deepcopy(self._objects[key]), change), "MODIFIED")

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object."""
        self._remove((resource.plural, namespace, name))

    def names(self, resource: Resource) -> list[str]:
        """Of all objects of a kind."""
        return [name for plural, _, name in self._objects if plural == resource.plural]

    def writes(self, resource: Resource, subresource: str = "") -> list[Asked]:
        """What was asked to change of a kind."""
        return [one for one in self.asked if (one.plural, one.subresource) == (resource.plural, subresource)]

    # -- the API

    def _store(self, key: tuple[str, str, str], new: Object, kind: str) -> None:
        self._version += 1
        new["metadata"]["resourceVersion"] = str(self._version)
        self._objects[key] = new
        self._tell(key[0], kind, new)

    def _remove(self, key: tuple[str, str, str]) -> None:
        if key not in self._objects:
            raise RefusedError(404, "NotFound")
        self._version += 1
        gone = self._objects.pop(key)
        gone["metadata"]["resourceVersion"] = str(self._version)
        self._tell(key[0], "DELETED", gone)

    def _tell(self, plural: str, kind: str, found: Object) -> None:
        self._history.setdefault(plural, []).append((self._version, kind, copy.deepcopy(found)))
        self._news.set()
        self._news = asyncio.Event()
        asyncio.get_running_loop().call_soon(self.on_change, plural, copy.deepcopy(found))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = _path_of(request.path)
        if self.hangs:
            await asyncio.Event().wait()  # until the client goes
        try:
            if request.method == "GET" and "watch" in request.query:
                return await self._watch(request, path)
            if request.method == "GET":
                return web.json_response(self._read(request, path))
            body = await request.json() if request.can_read_body else None
            asked = Asked(
                method=request.method,
                plural=path.plural,
                namespace=path.namespace,
                name=path.name or _name_of(body),
                subresource=path.subresource,
                body=body,
            )
            refusal = self.refuses(asked)
            if refusal is not None:
                raise refusal
            self.asked.append(asked)
            return web.json_response(self._write(request, asked))
        except RefusedError as error:
            status = {"kind": "Status", "status": "Failure", "reason": error.reason, "message": error.reason}
            return web.json_response({**status, "code": error.code}, status=error.code)

    def _read(self, request: web.Request, path: _Path) -> Object:
        if path.name:
            found = self._objects.get((path.plural, path.namespace, path.name))
            if found is None:
                raise RefusedError(404, "NotFound")
            return found
        items = [
            found
            for (plural, namespace, _), found in self._objects.items()
            if plural == path.plural and path.namespace in ("", namespace) and _selects(request, found)
        ]
        return {"kind": "List", "metadata": {"resourceVersion": str(self._version)}, "items": items}

    async def _watch(self, request: web.Request, path: _Path) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        version = int(request.query["resourceVersion"])
        try:
            while True:
                news = self._news
                for at, kind, found in self._history.get(path.plural, []):
                    if at > version and path.namespace in ("", found["metadata"].get("namespace")):
                        version = at
                        if _selects(request, found):
                            await response.write(json.dumps({"type": kind, "object": found}).encode() + b"\n")
                await news.wait()
        finally:
            self._watches.discard(task)

    def _write(self, request: web.Request, asked: Asked) -> Object:
        key = (asked.plural, asked.namespace, asked.name)
        if asked.method == "DELETE":
            self._remove(key)
            return {}
        if asked.method == "POST":
            return self._create(key, asked.body)
        known = self._objects.get(key)
        if known is None:
            raise RefusedError(404, "NotFound")
        new = copy.deepcopy(known)
        if asked.subresource == "scale":
            (step,) = asked.body
            new["spec"]["replicas"] = step["value"]
        else:
            version = asked.body.get("metadata", {}).get("resourceVersion", known["metadata"]["resourceVersion"])
            if version != known["metadata"]["resourceVersion"]:
                raise RefusedError(409, "Conflict")
            new = self._changed(request, asked, new)
        if new == known:
            return known
        if new.get("spec") != known.get("spec"):
            new["metadata"]["generation"] = known["metadata"]["generation"] + 1
        self._store(key, new, "MODIFIED")
        return new

    def _changed(self, request: web.Request, asked: Asked, new: Object) -> Object:
        if request.method == "PUT":
            if asked.subresource == "status":
                return {**new, "status": copy.deepcopy(asked.body["status"])}
            return {**copy.deepcopy(asked.body), "metadata": {**new["metadata"], **asked.body["metadata"]}}
        assert request.content_type == MERGE_PATCH, request.content_type
        return _merged(new, asked.body)

    def _create(self, key: tuple[str, str, str], body: Object) -> Object:
        if key in self._objects:
            raise RefusedError(409, "AlreadyExists")
        new = copy.deepcopy(body)
        new["metadata"] = {**new["metadata"], "uid": f"uid-{self._version}", "generation": 1}
        self._store(key, new, "ADDED")
        return new


def _path_of(path: str) -> _Path:
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    plural, name, subresource = (*parts, "", "")[:3]
    return _Path(plural=plural, namespace=namespace, name=name, subresource=subresource)


def _name_of(body: Any) -> str:
    name: str = body["metadata"]["name"]
    return name


def _selects(request: web.Request, found: Object) -> bool:
    """Selectors here only ask whether there is such a label."""
    label = request.query.get("labelSelector", "")
    return not label or label in found["metadata"].get("labels", {})


def _merged(stored: Object, change: Mapping[str, Any]) -> Object:
    for key, value in change.items():
        if value is None:
            stored.pop(key, None)
        elif isinstance(value, Mapping):
            stored[key] = _merged(dict(stored.get(key, {})), value)
        else:
            stored[key] = value
    return stored
