"""A small API server for one kind that can do, on demand, what a real one does once a year."""

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
from dilu_kube.objects import ConfigMap
from dilu_kube.resources import CONFIG_MAPS

Object = dict[str, Any]
PATH: Final = CONFIG_MAPS.path("ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the server was asked."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    @property
    def verb(self) -> str:
        """`list` and `watch` apart from the others."""
        if self.method == "GET" and self.path.endswith("configmaps"):
            return "watch" if "watch" in self.query else "list"
        return self.method


def config_map(name: str, version: int, **data: str) -> Object:
    """One as JSON has it."""
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": data}


def line(kind: str, found: object) -> bytes:
    """One line of a watch."""
    return json.dumps({"type": kind, "object": found}).encode() + b"\n"


def status(code: int, reason: str, message: str, **details: Any) -> Object:
    """The API's way to refuse."""
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


class ApiServer:
    """Lists and watches ConfigMaps of the namespace `ns`; `scripts` say what the next requests get instead."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.version = 100
        self.objects: dict[str, Object] = {}
        self.history: list[tuple[int, bytes]] = []
        self.requests: list[Request] = []
        self.scripts: dict[str, deque[Script]] = {}
        self.page = 500
        self.news = asyncio.Event()
        self._closing = asyncio.Event()
        self._watches: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        await self.open()
        self.write_kubeconfig()
        return self

    async def open(self, port: int = 0) -> None:
        """Listens, on the same port as before when it is given."""
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._closing = asyncio.Event()
        self._runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    def write_kubeconfig(self, **user: Any) -> None:
        """A kubeconfig that leads here."""
        config = {
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "test", "user": user}],
        }
        self.kubeconfig.write_text(json.dumps(config))

    async def close(self) -> None:
        """Ends with all its connections; what it knows stays."""
        if self._runner is not None:
            self._closing.set()
            for task in self._watches:
                task.cancel()
            await self._runner.cleanup()
            self._runner = None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def client(self, **options: Any) -> KubeClient:
        """A client of this server."""
        return await KubeClient.connect(self.kubeconfig, **options)

    def next(self, verb: str, *scripts: Script) -> None:
        """What the next requests of this verb get."""
        self.scripts.setdefault(verb, deque()).extend(scripts)

    def asked(self, verb: str) -> list[Request]:
        """The requests of one verb so far."""
        return [one for one in self.requests if one.verb == verb]

    def put(self, name: str, **data: str) -> None:
        """Makes or changes one."""
        self.version += 1
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.objects[name] = config_map(name, self.version, **data)
        self._tell(kind, self.objects[name])

    def remove(self, name: str) -> None:
        """Deletes one."""
        self.version += 1
        gone = self.objects.pop(name)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._tell("DELETED", gone)

    def forget_history(self) -> None:
        """As a store that was compacted."""
        self.history.clear()

    def _tell(self, kind: str, found: Object) -> None:
        self.history.append((self.version, line(kind, found)))
        self.news.set()
        self.news = asyncio.Event()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        seen = Request(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            headers=dict(request.headers),
            body=json.loads(text) if text else None,
        )
        self.requests.append(seen)
        scripts = self.scripts.get(seen.verb)
        if scripts:
            return await scripts.popleft()(self, request)
        if seen.verb == "list":
            return self.list_page(seen)
        if seen.verb == "watch":
            return await watch_from(self, request)
        return web.json_response(config_map("any", self.version))

    def list_page(self, seen: Request) -> web.Response:
        """A page of the list."""
        names = sorted(self.objects)
        first = int(seen.query.get("continue", 0))
        last = first + min(int(seen.query.get("limit", 10**9)), self.page)
        metadata = {"resourceVersion": str(self.version)}
        if last < len(names):
            metadata["continue"] = str(last)
        items = [self.objects[name] for name in names[first:last]]
        return web.json_response({"kind": "ConfigMapList", "metadata": metadata, "items": items})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """The begin of a watch's answer."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        return response

    async def hold(self, until: asyncio.Event | None = None) -> None:
        """Says nothing more until the server ends, or this happens."""
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        try:
            await (until or self._closing).wait()
        finally:
            self._watches.discard(task)


Script = Callable[[ApiServer, web.Request], Awaitable[web.StreamResponse]]
Main = Callable[[ApiServer], Awaitable[None]]
Run = Callable[[Main], None]


async def watch_from(server: ApiServer, request: web.Request) -> web.StreamResponse:
    """What a good server does."""
    version = int(request.query["resourceVersion"])
    response = await server.stream(request)
    while True:
        news = server.news
        for at, written in [one for one in server.history if one[0] > version]:
            version = at
            await response.write(written)
        await server.hold(news)


def streaming(*chunks: bytes, then: str = "hold") -> Script:
    """A watch that writes these, and then says nothing (`hold`), ends in order (`end`), or breaks (`break`)."""

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
    """This answer."""

    async def script(server: ApiServer, request: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=code, text=text, headers=headers, content_type="application/json")

    return script


async def silent(server: ApiServer, request: web.Request) -> web.StreamResponse:
    """Takes the request and never answers."""
    await server.hold()
    return web.Response()


async def hang_up(server: ApiServer, request: web.Request) -> web.StreamResponse:
    """Takes the request and closes the connection without a word."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


__all__ = [
    "PATH",
    "ApiServer",
    "ConfigMap",
    "Main",
    "Request",
    "Run",
    "Script",
    "answering",
    "config_map",
    "hang_up",
    "line",
    "silent",
    "status",
    "streaming",
    "watch_from",
]
