"""What a fake API server stores: objects with versions, conflicts, patches, and the changes in their order."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dilu_kube.resources import Resource

Object = dict[str, Any]
Key = tuple[str, str, str]
"""(plural, namespace, name)"""
_KEPT: Final = ("uid", "generation", "resourceVersion")


class RefusedError(Exception):
    """An answer that is not a success."""

    def __init__(self, code: int, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One event of a watch."""

    version: int
    kind: str  # ADDED, MODIFIED or DELETED
    plural: str
    found: Object


class ObjectStore:
    """Objects of all kinds; `on_change` is called with each change."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[Key, Object] = {}
        self.history: list[Change] = []
        self.on_change: Callable[[Change], None] = lambda change: None

    # -- what a test does

    def put(self, resource: Resource, body: Mapping[str, Any]) -> None:
        """Store an object with its status, whatever was there."""
        key = key_of(resource, body)
        known, new = self.objects.get(key), copy.deepcopy(dict(body))
        if known is None:
            new["metadata"] = {"uid": f"uid-{self.version}", "generation": 1, **new["metadata"]}
        else:
            new["metadata"] = {**new["metadata"], **{name: known["metadata"][name] for name in _KEPT}}
        self._store(key, new, "ADDED" if known is None else "MODIFIED")

    def change(self, key: Key, change: Mapping[str, Any]) -> None:
        """Merge something into an object."""
        self._store(key, merged(copy.deepcopy(self.objects[key]), change), "MODIFIED")

    # -- what the API does

    def read(self, key: Key) -> Object:
        """Return a copy of an object."""
        if key not in self.objects:
            raise RefusedError(404, "NotFound")
        return copy.deepcopy(self.objects[key])

    def create(self, key: Key, body: Mapping[str, Any]) -> Object:
        """Store a new object."""
        if key in self.objects:
            raise RefusedError(409, "AlreadyExists")
        new = copy.deepcopy(dict(body))
        new["metadata"] = {**new["metadata"], "uid": f"uid-{self.version}", "generation": 1}
        return self._store(key, new, "ADDED")

    def replace(self, key: Key, body: Mapping[str, Any], *, subresource: str = "") -> Object:
        """Replace an object, or its status alone."""
        known = self._known(key, body)
        if subresource == "status":
            return self._update(key, known, {**known, "status": copy.deepcopy(body["status"])})
        kept = {name: known["metadata"][name] for name in _KEPT}
        return self._update(key, known, {**copy.deepcopy(dict(body)), "metadata": {**body["metadata"], **kept}})

    def merge(self, key: Key, change: Mapping[str, Any]) -> Object:
        """Apply a merge patch."""
        known = self._known(key, change)
        without_version = {**change, "metadata": {**change.get("metadata", {})}}
        without_version["metadata"].pop("resourceVersion", None)
        return self._update(key, known, merged(copy.deepcopy(known), without_version))

    def scale(self, key: Key, replicas: int) -> Object:
        """Set the number of replicas."""
        known = self.read(key)
        return self._update(key, known, merged(copy.deepcopy(known), {"spec": {"replicas": replicas}}))

    def remove(self, key: Key) -> None:
        """Delete an object."""
        deleted = self.read(key)
        del self.objects[key]
        self.version += 1
        deleted["metadata"]["resourceVersion"] = str(self.version)
        self._tell(key, "DELETED", deleted)

    def _known(self, key: Key, body: Mapping[str, Any]) -> Object:
        known = self.read(key)
        version = known["metadata"]["resourceVersion"]
        if body.get("metadata", {}).get("resourceVersion", version) != version:
            raise RefusedError(409, "Conflict", "the object has been modified")
        return known

    def _update(self, key: Key, known: Object, new: Object) -> Object:
        if new == known:  # a server writes nothing then
            return known
        if new.get("spec") != known.get("spec"):
            new["metadata"]["generation"] = known["metadata"]["generation"] + 1
        return self._store(key, new, "MODIFIED")

    def _store(self, key: Key, new: Object, kind: str) -> Object:
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key] = new
        self._tell(key, kind, new)
        return copy.deepcopy(new)

    def _tell(self, key: Key, kind: str, found: Object) -> None:
        change = Change(version=self.version, kind=kind, plural=key[0], found=copy.deepcopy(found))
        self.history.append(change)
        self.on_change(change)


def key_of(resource: Resource, body: Mapping[str, Any]) -> Key:
    """Return the key of an object that has a name."""
    return resource.plural, body["metadata"].get("namespace", ""), body["metadata"]["name"]


def merged(stored: Object, change: Mapping[str, Any]) -> Object:
    """Apply a merge patch to `stored` in place, and return it."""
    for key, value in change.items():
        if value is None:
            stored.pop(key, None)
        elif isinstance(value, Mapping):
            stored[key] = merged(dict(stored.get(key, {})), value)
        else:
            stored[key] = value
    return stored
