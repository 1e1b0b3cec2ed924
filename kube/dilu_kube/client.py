"""A client of the Kubernetes API that reads objects into our structs.

    client = await KubeClient.connect(user_agent="dilu-autoscaler")
    pods = await client.list(PODS, "shop", type=Pod)
    async for event in client.watch(PODS, "shop", type=Pod, resource_version=pods.resource_version): ...

`kubernetes.aio` does connections, TLS and credentials; msgspec reads the bodies (docs/adr/0011).
"""

# ruff: noqa: A002  # `type` is called as msgspec calls it

from __future__ import annotations

import builtins
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from dilu_kube.api_connection import connection_of
from dilu_kube.api_exchange import NO_ANSWER, ApiExchange, Body, unreachable
from dilu_kube.decoding import (
    Broken,
    KubeObject,
    Lines,
    Listed,
    WatchEvent,
    read_event,
    read_page,
)
from dilu_kube.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    KubeError,
    NotFound,
    Refused,
    Unreachable,
)
from dilu_kube.resources import JSON_PATCH, MERGE_PATCH, Resource

__all__ = [
    "JSON_PATCH",
    "MERGE_PATCH",
    "AlreadyExists",
    "Broken",
    "Conflict",
    "Forbidden",
    "Gone",
    "KubeClient",
    "KubeError",
    "Listed",
    "NotFound",
    "Refused",
    "Unreachable",
    "WatchEvent",
]

PAGE: Final = 500  # objects
_LIST_S: Final = 30.0  # a page of 500 pods from a slow store
# The server sends a bookmark a minute. One that is silent longer has ended, is frozen, or is cut off from us.
_QUIET_S: Final = 90.0
_WATCH_JITTER: Final = 0.5  # so that the watches of all clients do not end together

T = TypeVar("T", bound=KubeObject)


class KubeClient:
    """A client of one API server, for one event loop."""

    def __init__(self, exchange: ApiExchange) -> None:
        self._exchange = exchange

    @classmethod
    async def connect(
        cls, kubeconfig: Path | None = None, *, user_agent: str = "dilu", request_s: float = 10.0
    ) -> KubeClient:
        """Return a client for a kubeconfig (None: `$KUBECONFIG` if set, else the pod's service account).

        `request_s` limits the time of a request. The server may be down now: nothing is sent yet. Raises `ConfigError`
        for a kubeconfig or service account that cannot be used.
        """
        return cls(ApiExchange(await connection_of(kubeconfig, user_agent), request_s=request_s))

    async def get(self, resource: Resource, namespace: str, name: str, *, type: type[T], subresource: str = "") -> T:
        """Return one object."""
        path = resource.path(namespace, name, subresource)
        data = await self._exchange.request("get", "GET", path)
        try:
            return msgspec.json.decode(data, type=type)
        except msgspec.DecodeError as error:
            raise Refused(f"get {path}: the answer is not a {resource.kind}: {error}") from error

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        type: type[T],
        label_selector: str = "",
        field_selector: str = "",
    ) -> Listed[T]:
        """Return all objects, read in pages."""
        path = resource.path(namespace)
        query = _selected(label_selector, field_selector)
        try:
            return await self._pages(path, query | {"limit": str(PAGE)}, type)
        except Gone:
            # The store was compacted between two pages: read all at once, from the server's memory.
            return await self._pages(path, query, type)

    async def _pages(self, path: str, query: Mapping[str, str], type: type[T]) -> Listed[T]:
        items: builtins.list[T] = []
        broken: builtins.list[Broken] = []
        within_s = max(_LIST_S, self._exchange.request_s)
        more: dict[str, str] = {}
        while True:
            data = await self._exchange.request("list", "GET", path, query={**query, **more}, within_s=within_s)
            page, unread = read_page(path, data, type)
            items += page.items or ()
            broken += unread
            if not page.metadata.resume:
                return Listed(tuple(items), page.metadata.resource_version, tuple(broken))
            more = {"continue": page.metadata.resume}

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        type: type[T],
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout_s: float = 300.0,
        quiet_s: float = _QUIET_S,
    ) -> AsyncIterator[WatchEvent[T]]:
        """Yield the events after `resource_version`, until the server ends the stream.

        The server ends it after `timeout_s` to 1.5 `timeout_s`. The first event is a BOOKMARK without an object, which
        says that the stream is open. Raises `Gone` if the version is too old, and `Unreachable` if the stream breaks
        or is silent for `quiet_s`, without even a bookmark.
        """
        path = resource.path(namespace)
        server_s = max(1, int(timeout_s * random.uniform(1, 1 + _WATCH_JITTER)))
        query = _selected(label_selector, field_selector) | {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(server_s),
        }
        quiet_s = min(quiet_s, server_s + self._exchange.request_s)
        response = await self._exchange.stream("watch", path, query, quiet_s=quiet_s)
        lines = Lines()
        try:
            yield WatchEvent("BOOKMARK", None, resource_version)
            async for chunk in response.content.iter_any():
                for line in lines.feed(chunk):
                    yield read_event(path, line, type)
                if lines.is_too_long:
                    raise Refused(f"watch {path}: a line of more than {lines.pending_bytes} bytes")
        except NO_ANSWER as error:
            raise unreachable("watch", path, error, quiet_s) from error
        finally:
            response.close()
        if lines.pending_bytes:
            raise Unreachable(f"watch {path}: the stream broke in the middle of an event")

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> bytes:
        """Create an object and return it as the server has it. Raises `AlreadyExists` if the name is taken."""
        return await self._exchange.request("create", "POST", resource.path(namespace), body=body)

    async def replace(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], *, subresource: str = ""
    ) -> bytes:
        """Replace an object and return it. Raises `Conflict` if the body's resourceVersion is not the current one."""
        path = resource.path(namespace, name, subresource)
        return await self._exchange.request("replace", "PUT", path, body=body)

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Body, *, content_type: str, subresource: str = ""
    ) -> bytes:
        """Apply a JSON_PATCH (a list of operations) or a MERGE_PATCH (an object) and return the object."""
        if (content_type == JSON_PATCH) is isinstance(body, Mapping):
            raise ValueError(f"patch with {content_type}: the body must not be of type {type(body).__name__}")
        path = resource.path(namespace, name, subresource)
        return await self._exchange.request("patch", "PATCH", path, body=body, content_type=content_type)

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object. Raises `NotFound` if it does not exist."""
        await self._exchange.request("delete", "DELETE", resource.path(namespace, name))

    async def close(self) -> None:
        """Close all connections; open watches end with an error."""
        await self._exchange.close()


def _selected(label_selector: str, field_selector: str) -> dict[str, str]:
    both = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in both.items() if value}
