"""A small API server for all kinds that can do, on demand, what a real one does once a year."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from dilu_kube.client import KubeClient
from dilu_kube.resources import CONFIG_MAPS, Resource
from kube.object_store import Change, Key, Object, ObjectStore, RefusedError

PATH: Final = CONFIG_MAPS.path("ns")
_MERGE_PATCH: Final = "application/merge-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    plural: str
    namespace: str
    name: str  # of the body where the path has none
    subresource: str
    is_collection: bool

    @property
    def verb(self) -> str:
        """`list` and `watch` apart from the others."""
        if self.method == "GET" and self.is_collection:
            return "watch" if "watch" in self.query else "list"
        return self.method

    @property
    def key(self) -> Key:
        """Return the object's key."""
        return self.plural, self.namespace, self.name

    def selects(self, plural: str, found: Object) -> bool:
        """Whether a list or watch includes an object; of label selectors, only names of labels are understood."""
        label = self.query.get("labelSelector", "")
        has_label = not label or "=" in label or label in found["metadata"].get("labels", {})
        return plural == self.plural and self.namespace in ("", found["metadata"].get("namespace", "")) and has_label


class ApiServer:
    """Serves what is in `store`; `scripts` are the answers of the next requests instead.

    `on_change` is called soon after each change, as controllers would notice it. `refuses` decides which writes are
    refused. While it `hangs`, it takes requests and answers none. When it `echoes`, requests for single objects get a
    ConfigMap as answer and change nothing.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.store = ObjectStore()
        self.store.on_change = self._changed
        self.on_change: Callable[[str, Object], None] = lambda plural, found: None
        self.refuses: Callable[[Request], RefusedError | None] = lambda request: None
        self.hangs = False
        self.echoes = False
        self.max_page = 500
        self.requests: list[Request] = []
        self.changes: list[Request] = []  # the writes among them that were not refused by `refuses`
        self.scripts: dict[str, deque[Script]] = {}
        self.port = 0
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self._watches: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None

    # -- its life

    async def __aenter__(self) -> Self:
        await self.open()
        self.write_kubeconfig()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen; on the same port as before after a `close`."""
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._closing = asyncio.Event()
        self._runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """End with all connections; what is stored stays."""
        if self._runner is not None:
            self._closing.set()
            for task in list(self._watches):
                task.cancel()
            runner, self._runner = self._runner, None
            await runner.cleanup()

    def write_kubeconfig(self, **user: Any) -> None:
        """Write a kubeconfig that leads here."""
        config = {
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "test", "user": user}],
        }
        self.kubeconfig.write_text(json.dumps(config))

    async def client(self, **options: Any) -> KubeClient:
        """Return a client of this server."""
        return await KubeClient.connect(self.kubeconfig, **options)

    # -- what a test sees and changes

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return one object as it is stored."""
        key = (resource.plural, namespace, name)
        return self.store.read(key) if key in self.store.objects else None

    def put(self, resource: Resource, body: Mapping[str, Any]) -> None:
        """Store an object with its status, whatever was there."""
        self.store.put(resource, body)

    def change(self, resource: Resource, namespace: str, name: str, change: Mapping[str, Any]) -> None:
        """Merge something into an object."""
        self.store.change((resource.plural, namespace, name), change)

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object."""
        self.store.remove((resource.plural, namespace, name))

    def names(self, resource: Resource) -> list[str]:
        """Return the names of all objects of a kind."""
        return [name for plural, _, name in self.store.objects if plural == resource.plural]

    def put_map(self, name: str, **data: str) -> None:
        """Store a ConfigMap in the namespace `ns`."""
        self.put(CONFIG_MAPS, config_map(name, 0, **data))

    def remove_map(self, name: str) -> None:
        """Delete it."""
        self.remove(CONFIG_MAPS, "ns", name)

    def maps(self) -> dict[str, Object]:
        """Return the stored ConfigMaps by their names."""
        return {key[2]: found for key, found in self.store.objects.items() if key[0] == CONFIG_MAPS.plural}

    def next(self, verb: str, *scripts: Script) -> None:
        """Set the answers of the next requests of this verb."""
        self.scripts.setdefault(verb, deque()).extend(scripts)

    def asked(self, verb: str) -> list[Request]:
        """Return the requests of one verb so far."""
        return [one for one in self.requests if one.verb == verb]

    def writes(self, resource: Resource, subresource: str = "") -> list[Request]:
        """Return the writes of a kind that were not refused."""
        return [one for one in self.changes if (one.plural, one.subresource) == (resource.plural, subresource)]

    # -- the API

    def _changed(self, change: Change) -> None:
        self._news.set()
        self._news = asyncio.Event()
        asyncio.get_running_loop().call_soon(self.on_change, change.plural, change.found)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen = await _read_request(request)
        self.requests.append(seen)
        if self.hangs:
            await self.hold()
        scripts = self.scripts.get(seen.verb)
        if scripts:
            return await scripts.popleft()(self, request)
        if seen.verb == "watch":
            return await watch_from(self, request)
        try:
            return await self.respond(seen, request)
        except RefusedError as error:
            return web.json_response(status(error.code, error.reason, str(error)), status=error.code)

    async def respond(self, seen: Request, request: web.Request) -> web.StreamResponse:
        """Answer a request for which there is no script."""
        if seen.verb == "list":
            return self.list_page(seen)
        if self.echoes:
            return web.json_response(config_map("any", self.store.version))
        return web.json_response(self.read(seen) if seen.method == "GET" else self.write(seen))

    def list_page(self, seen: Request) -> web.Response:
        """Return a page of a list."""
        found = [one for key, one in sorted(self.store.objects.items()) if seen.selects(key[0], one)]
        first = int(seen.query.get("continue", 0))
        last = first + min(int(seen.query.get("limit", 10**9)), self.max_page)
        metadata = {"resourceVersion": str(self.store.version)}
        if last < len(found):
            metadata["continue"] = str(last)
        return web.json_response({"kind": "List", "metadata": metadata, "items": found[first:last]})

    def read(self, seen: Request) -> Object:
        """Return one object."""
        return self.store.read(seen.key)

    def write(self, seen: Request) -> Object:
        """Change one object, and return what it is then."""
        refusal = self.refuses(seen)
        if refusal is not None:
            raise refusal
        self.changes.append(seen)
        if seen.method == "DELETE":
            self.store.remove(seen.key)
            return {}
        if seen.method == "POST":
            return self.store.create(seen.key, seen.body)
        if seen.subresource == "scale":
            (step,) = seen.body
            return self.store.scale(seen.key, step["value"])
        if seen.method == "PUT":
            return self.store.replace(seen.key, seen.body, subresource=seen.subresource)
        assert seen.headers["Content-Type"] == _MERGE_PATCH, seen.headers["Content-Type"]
        return self.store.merge(seen.key, seen.body)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Begin the answer of a watch."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        return response

    async def hold(self, until: asyncio.Event | None = None) -> None:
        """Wait until the server ends, or until this happens."""
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        try:
            await (until or self._closing).wait()
        finally:
            self._watches.discard(task)

    @property
    def news(self) -> asyncio.Event:
        """The event that the next change sets."""
        return self._news


Script = Callable[[ApiServer, web.Request], Awaitable[web.StreamResponse]]
Main = Callable[[ApiServer], Awaitable[None]]
Run = Callable[[Main], None]


async def _read_request(request: web.Request) -> Request:
    text = await request.text()
    body = json.loads(text) if text else None
    parts = request.path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    plural, name, subresource = (*parts, "", "")[:3]
    created = body.get("metadata", {}).get("name", "") if isinstance(body, dict) else ""
    return Request(
        method=request.method,
        path=request.path,
        query=dict(request.query),
        headers=dict(request.headers),
        body=body,
        plural=plural,
        namespace=namespace,
        name=name or created,
        subresource=subresource,
        is_collection=not name,
    )


def config_map(name: str, version: int, **data: str) -> Object:
    """Return a ConfigMap as JSON has it."""
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": data}


def line(kind: str, found: object) -> bytes:
    """Return one line of a watch."""
    return json.dumps({"type": kind, "object": found}).encode() + b"\n"


def status(code: int, reason: str, message: str, **details: Any) -> Object:
    """Return the body of an answer that is not a success."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
        "details": details,
    }


async def watch_from(server: ApiServer, request: web.Request) -> web.StreamResponse:
    """Answer a watch as a good server does."""
    seen = await _read_request(request)
    version = int(seen.query["resourceVersion"])
    response = await server.stream(request)
    while True:
        news = server.news
        for change in [one for one in server.store.history if one.version > version]:
            version = change.version
            if seen.selects(change.plural, change.found):
                await response.write(line(change.kind, change.found))
        await server.hold(news)


def streaming(*chunks: bytes, then: str = "hold") -> Script:
    """Return a watch that writes these, and then stays silent (`hold`), ends in order (`end`), or breaks (`break`)."""

    async def script(server: ApiServer, request: web.Request) -> web.StreamResponse:
        response = await server.stream(request)
        for chunk in chunks:
            await response.write(chunk)
        if then == "hold":
            await server.hold()
        elif then == "break":
            assert request.transport is not None
            request.transport.abort()
        return response

    return script


def answering(code: int, body: object, **headers: str) -> Script:
    """Return a script with this answer."""

    async def script(server: ApiServer, request: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=code, text=text, headers=headers, content_type="application/json")

    return script


async def silent(server: ApiServer, request: web.Request) -> web.StreamResponse:
    """Take the request and never answer."""
    await server.hold()
    return web.Response()


async def hang_up(server: ApiServer, request: web.Request) -> web.StreamResponse:
    """Take the request and close the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
