"""The Kubernetes API as the autoscaler uses it: objects in, our structs out, and errors that say what was refused.

    client = await KubeClient.connect()
    pods = await client.list(PODS, "shop", type=Pod)
    async for event in client.watch(PODS, "shop", type=Pod, resource_version=pods.resource_version): ...

Connections, TLS and credentials are `kubernetes.aio`'s; bodies are read by msgspec (docs/adr/0011).
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
from dilu_kube.resources import Resource

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

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
USER_AGENT: Final = "dilu-autoscaler"
PAGE: Final = 500
_LIST_S: Final = 30.0  # a page of 500 pods from a slow store
# The server sends a bookmark a minute. One that says less than this is gone, frozen, or behind a broken network.
_QUIET_S: Final = 90.0
_WATCH_JITTER: Final = 0.5  # so that the watches of all clients do not end together

T = TypeVar("T", bound=KubeObject)


class KubeClient:
    """A client of one API server, for one event loop."""

    def __init__(self, exchange: ApiExchange) -> None:
        self._exchange = exchange

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None, *, request_s: float = 10.0) -> KubeClient:
        """A client from a kubeconfig (None: `$KUBECONFIG` if set, else the service account); ConfigError otherwise.

        The server is not asked yet: it may be down now.
        """
        return cls(ApiExchange(await connection_of(kubeconfig, USER_AGENT), request_s=request_s))

    async def get(self, resource: Resource, namespace: str, name: str, *, type: type[T], subresource: str = "") -> T:
        """One object."""
        path = resource.path(namespace, name, subresource)
        data = await self._exchange.ask("get", "GET", path)
        try:
            return msgspec.json.decode(data, type=type)
        except msgspec.DecodeError as error:
            raise Refused(f"get {path}: the answer is no {resource.kind}: {error}") from error

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        type: type[T],
        label_selector: str = "",
        field_selector: str = "",
    ) -> Listed[T]:
        """All objects, read in pages."""
        path = resource.path(namespace)
        query = _selected(label_selector, field_selector)
        try:
            return await self._pages(path, query | {"limit": str(PAGE)}, type)
        except Gone:
            # The store was compacted between two pages: all at once then, from the server's memory.
            return await self._pages(path, query, type)

    async def _pages(self, path: str, query: Mapping[str, str], type: type[T]) -> Listed[T]:
        items: builtins.list[T] = []
        broken: builtins.list[Broken] = []
        within_s = max(_LIST_S, self._exchange.request_s)
        more: dict[str, str] = {}
        while True:
            data = await self._exchange.ask("list", "GET", path, query={**query, **more}, within_s=within_s)
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
        """What happens after that version, until the server ends the stream, after `timeout_s` or half as much more.

        The first event is a BOOKMARK without an object: the stream is open. Raises Gone where the version is too old,
        and Unreachable where the stream breaks or nothing, not even a bookmark, comes for `quiet_s`.
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
                if lines.is_absurd:
                    raise Refused(f"watch {path}: a line without an end, {lines.pending_bytes} bytes so far")
        except NO_ANSWER as error:
            raise unreachable("watch", path, error, quiet_s) from error
        finally:
            response.close()
        if lines.pending_bytes:
            raise Unreachable(f"watch {path}: the stream broke in the middle of an event")

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> bytes:
        """The new object as the server has it; AlreadyExists where the name is taken."""
        return await self._exchange.ask("create", "POST", resource.path(namespace), body=body)

    async def replace(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], *, subresource: str = ""
    ) -> bytes:
        """The object after it was replaced; Conflict where the body's resourceVersion is not the last one."""
        path = resource.path(namespace, name, subresource)
        return await self._exchange.ask("replace", "PUT", path, body=body)

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Body, *, content_type: str, subresource: str = ""
    ) -> bytes:
        """The object after a JSON_PATCH (a list of operations) or a MERGE_PATCH (an object)."""
        if (content_type == JSON_PATCH) is isinstance(body, Mapping):
            raise ValueError(f"patch with {content_type}: a body of type {type(body).__name__} does not go with it")
        path = resource.path(namespace, name, subresource)
        return await self._exchange.ask("patch", "PATCH", path, body=body, content_type=content_type)

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Asks for the end of an object; NotFound where it is not there."""
        await self._exchange.ask("delete", "DELETE", resource.path(namespace, name))

    async def close(self) -> None:
        """Closes all connections; watches end as if the server had gone."""
        await self._exchange.close()


def _selected(label_selector: str, field_selector: str) -> dict[str, str]:
    both = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in both.items() if value}
