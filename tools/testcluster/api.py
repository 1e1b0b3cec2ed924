"""The Kubernetes API, as much of it as a test needs: objects are dictionaries, and waiting is watching."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from .errors import ApiError, ClusterError
from .network import API_PORT, NODE_IP
from .sockets import ClusterConnection

Object = dict[str, Any]

_FIELD_MANAGER: Final = "dilu-test-cluster"
_REQUEST_S: Final = 30.0
_GONE: Final = 410
_CLOSED: Final = (ConnectionError, ssl.SSLEOFError)
_MERGE_PATCH: Final = "application/merge-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind that the server serves, and where."""

    prefix: str  # /api/v1 or /apis/GROUP/VERSION
    plural: str
    namespaced: bool

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """Return the path of one object, or of all."""
        inside = f"/namespaces/{quote(namespace)}" if namespace and self.namespaced else ""
        return f"{self.prefix}{inside}/{self.plural}" + (f"/{quote(name)}" if name else "")


class KubeApi:
    """A client of one cluster's API server; threads may share it."""

    def __init__(self, network: str, context: ssl.SSLContext) -> None:
        self._network = network
        self._context = context
        self._kinds: dict[tuple[str, str], Kind] = {}
        self._connections = threading.local()

    def request(self, method: str, path: str, body: object = None, *, content_type: str = "application/json") -> Object:
        """Send a request and return the server's answer; raise ApiError if it refuses."""
        data = None if body is None else json.dumps(body).encode()
        status, raw = self._exchange(method, path, data, {"Content-Type": content_type, "Accept": "application/json"})
        answer: Object = json.loads(raw) if raw.lstrip().startswith(b"{") else {"message": raw.decode(errors="replace")}
        if status >= 400:
            raise ApiError(status, answer.get("reason", ""), f"{method} {path}: {status} {answer.get('message', '')}")
        return answer

    def text(self, path: str) -> str:
        """Return an answer that is not JSON, such as a pod's log."""
        status, raw = self._exchange("GET", path, None, {})
        if status >= 400:
            raise ApiError(status, "", f"GET {path}: {status} {raw.decode(errors='replace').strip()}")
        return raw.decode(errors="replace")

    def _exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        for attempt in (1, 2):
            connection: ClusterConnection | None = getattr(self._connections, "one", None)
            kept = connection is not None
            if connection is None:
                connection = self._connections.one = self._connect(_REQUEST_S)
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # The server may have closed a kept connection meanwhile; nothing else is sent twice.
                if not (kept and attempt == 1 and isinstance(error, _CLOSED)):
                    raise ClusterError(f"{method} {path}: the API server does not answer ({error!r})") from error
        raise AssertionError

    def _connect(self, timeout_s: float) -> ClusterConnection:
        return ClusterConnection(self._network, NODE_IP, API_PORT, timeout_s=timeout_s, context=self._context)

    def close(self) -> None:
        """Close this thread's connection; the next request opens another."""
        connection = getattr(self._connections, "one", None)
        if connection is not None:
            connection.close()
            self._connections.one = None

    def kind(self, api_version: str, kind: str) -> Kind:
        """Where this kind is served."""
        found = self._kinds.get((api_version, kind))
        if found is None:
            prefix = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
            for one in self.request("GET", prefix)["resources"]:
                if "/" not in one["name"]:
                    known = Kind(prefix=prefix, plural=one["name"], namespaced=one["namespaced"])
                    self._kinds[api_version, one["kind"]] = known
            found = self._kinds.get((api_version, kind))
        if found is None:
            raise ClusterError(f"the server has no kind {kind} in {api_version}")
        return found

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object:
        """One object."""
        return self.request("GET", self.kind(api_version, kind).path(namespace, name))

    def items(self, api_version: str, kind: str, namespace: str | None = None, **selectors: str) -> list[Object]:
        """Objects; `labels="a=b"` and `fields="spec.nodeName=n"` select."""
        path = self.kind(api_version, kind).path(namespace) + _query(selectors)
        found: list[Object] = self.request("GET", path)["items"]
        return found

    def create(self, manifest: Object) -> Object:
        """Create an object and return it."""
        kind = self.kind(manifest["apiVersion"], manifest["kind"])
        return self.request("POST", kind.path(manifest["metadata"].get("namespace")), manifest)

    def apply(self, manifest: Object) -> Object:
        """Apply an object server-side and return it: created if missing, changed if different."""
        metadata = manifest["metadata"]
        path = self.kind(manifest["apiVersion"], manifest["kind"]).path(metadata.get("namespace"), metadata["name"])
        options = urlencode({"fieldManager": _FIELD_MANAGER, "force": "true"})
        return self.request("PATCH", f"{path}?{options}", manifest, content_type="application/apply-patch+yaml")

    def patch(
        self, api_version: str, kind: str, name: str, namespace: str | None, change: Object, *, part: str = ""
    ) -> Object:
        """Merge `change` into an object, or into a part such as `status`, and return the object."""
        path = self.kind(api_version, kind).path(namespace, name) + (f"/{part}" if part else "")
        return self.request("PATCH", path, change, content_type=_MERGE_PATCH)

    def delete(
        self, api_version: str, kind: str, name: str, namespace: str | None = None, *, grace_s: int | None = None
    ) -> None:
        """Asks for the end of an object; one that is not there is no error."""
        options = {"propagationPolicy": "Background"} | ({} if grace_s is None else {"gracePeriodSeconds": grace_s})
        try:
            self.request("DELETE", self.kind(api_version, kind).path(namespace, name), options)
        except ApiError as error:
            if error.status != 404:
                raise

    def wait_for(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None,
        condition: Callable[[Object], bool],
        *,
        timeout_s: float,
        what: str = "",
    ) -> Object:
        """Return the object as soon as the condition holds; wait for it if it does not exist yet."""
        selected: list[Object] = self.wait_for_list(
            api_version,
            kind,
            namespace,
            lambda objects: any(condition(one) for one in objects),
            timeout_s=timeout_s,
            what=what or f"{kind} {name}",
            fields=f"metadata.name={name}",
        )
        return selected[0]

    def wait_deleted(self, api_version: str, kind: str, name: str, namespace: str | None, *, timeout_s: float) -> None:
        """Return when there is no such object."""
        self.wait_for_list(
            api_version,
            kind,
            namespace,
            lambda objects: not objects,
            timeout_s=timeout_s,
            what=f"the end of {kind} {name}",
            fields=f"metadata.name={name}",
        )

    def wait_for_list(
        self,
        api_version: str,
        kind: str,
        namespace: str | None,
        condition: Callable[[list[Object]], bool],
        *,
        timeout_s: float,
        what: str,
        **selectors: str,
    ) -> list[Object]:
        """Return the selected objects as soon as the condition holds for all of them together."""
        deadline_s = time.monotonic() + timeout_s
        objects: list[Object] = []
        for objects in self.states(api_version, kind, namespace, deadline_s=deadline_s, **selectors):
            if condition(objects):
                return objects
        seen = [{"name": one["metadata"]["name"], "status": one.get("status")} for one in objects]
        raise ClusterError(f"{what}: not within {timeout_s:.0f} s; last seen: {json.dumps(seen)[:1500]}")

    def states(
        self, api_version: str, kind: str, namespace: str | None, *, deadline_s: float, **selectors: str
    ) -> Iterator[list[Object]]:
        """Yield the selected objects now and after each change, until the deadline (of the monotonic clock)."""
        path = self.kind(api_version, kind).path(namespace)
        while time.monotonic() < deadline_s:
            listing = self.request("GET", path + _query(selectors))
            objects = {
                one["metadata"]["uid"]: {"apiVersion": api_version, "kind": kind, **one} for one in listing["items"]
            }
            yield list(objects.values())
            version = listing["metadata"]["resourceVersion"]
            for event, one in self._watch(path, selectors, version, deadline_s):
                if event == "DELETED":
                    objects.pop(one["metadata"]["uid"], None)
                else:
                    objects[one["metadata"]["uid"]] = one
                yield list(objects.values())

    def _watch(
        self, path: str, selectors: Mapping[str, str], version: str, deadline_s: float
    ) -> Iterator[tuple[str, Object]]:
        """Yield changes until the deadline, or until the server requires a new list."""
        left_s = max(0.1, deadline_s - time.monotonic())
        query = _query(selectors, watch="true", resourceVersion=version)
        with contextlib.closing(self._connect(left_s)) as connection:
            try:
                connection.request("GET", path + query)
                response = connection.getresponse()
                if response.status != 200:
                    raise ApiError(response.status, "", f"watch of {path}: {response.status} {response.read(500)!r}")
                while time.monotonic() < deadline_s:
                    connection.sock.settimeout(max(0.01, deadline_s - time.monotonic()))
                    line = response.readline()
                    if not line:
                        return
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        if event["object"].get("code") != _GONE:
                            raise ClusterError(f"watch of {path}: {event['object'].get('message')}")
                        return
                    yield event["type"], event["object"]
            except TimeoutError:
                return
            except (OSError, http.client.HTTPException) as error:
                raise ClusterError(f"watch of {path}: the API server does not answer ({error!r})") from error


def _query(selectors: Mapping[str, str], **more: str) -> str:
    names = {"labels": "labelSelector", "fields": "fieldSelector"}
    pairs = {names[name]: value for name, value in selectors.items()} | more
    return f"?{urlencode(pairs)}" if pairs else ""


def condition_of(manifest: Mapping[str, Any], kind: str) -> str | None:
    """Return the status ("True", "False", "Unknown") of one of an object's conditions; None if it has none."""
    conditions: Sequence[Mapping[str, Any]] = (manifest.get("status") or {}).get("conditions") or ()
    return next((one["status"] for one in conditions if one["type"] == kind), None)


def is_ready(manifest: Mapping[str, Any]) -> bool:
    """Whether the object says of its newest generation that it is Ready."""
    generation = manifest["metadata"].get("generation")
    observed = (manifest.get("status") or {}).get("observedGeneration", generation)
    return condition_of(manifest, "Ready") == "True" and observed == generation
