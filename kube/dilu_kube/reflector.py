"""Applies lists and watch events to a cache, and calls handlers for what they change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from dilu_kube.decoding import Broken, KubeObject, WatchEvent
from dilu_kube.object_cache import ObjectCache
from dilu_kube.resources import Resource

T = TypeVar("T", bound=KubeObject)
Handler = Callable[[str, T | None, T | None], None]

log = logging.getLogger(__name__)

_MAX_BROKEN: Final = 1_000  # remembered, so that each is logged once


class Reflector(Generic[T]):
    """Applies what the server sends to a cache, and calls the handlers."""

    def __init__(self, cache: ObjectCache[T], resource: Resource, key: Callable[[T], str]) -> None:
        self._cache = cache
        self._resource = resource
        self._key = key
        self._broken_keys: set[str] = set()
        self.handlers: list[Handler[T]] = []
        self.unreadable = 0

    def take_all(self, found: Sequence[T], broken: Sequence[Broken], *, notify_all: bool) -> None:
        """Apply a list, then call the handlers: a handler that reads other objects sees one version of all of them."""
        for one in broken:
            self._note_broken(one)
        missing = set(self._cache.keys()).difference(one.metadata.key for one in broken)
        changes: list[tuple[str, T | None, T | None]] = []
        for one_found in found:
            key = self._key(one_found)
            missing.discard(key)
            self._broken_keys.discard(key)
            before = self._cache.put(key, one_found)
            if notify_all or before is None or _differs(before, one_found):
                changes.append((key, before, one_found))
        changes += [(key, self._cache.remove(key), None) for key in sorted(missing)]
        for key, before, after in changes:
            self._notify(key, before, after)

    def take(self, event: WatchEvent[T]) -> None:
        """Apply one event of a watch."""
        if event.kind == "BOOKMARK":
            return
        if event.object is None:
            self._take_broken(event)
            return
        key = self._key(event.object)
        self._broken_keys.discard(key)
        if event.kind == "DELETED":
            self._remove(key)
        else:
            before = self._cache.put(key, event.object)
            if before is None or _differs(before, event.object):
                self._notify(key, before, event.object)

    def _take_broken(self, event: WatchEvent[T]) -> None:
        if event.broken is None:
            return
        self._note_broken(event.broken)
        if event.kind == "DELETED":
            self._remove(event.broken.metadata.key)

    def _remove(self, key: str) -> None:
        before = self._cache.remove(key)
        if before is not None:
            self._notify(key, before, None)

    def _note_broken(self, broken: Broken) -> None:
        self.unreadable += 1
        key = broken.metadata.key
        if key in self._broken_keys:
            return
        if len(self._broken_keys) >= _MAX_BROKEN:
            self._broken_keys.clear()
        self._broken_keys.add(key)
        log.warning("%s %s cannot be read and is ignored: %s", self._resource.kind, key, broken.error)

    def _notify(self, key: str, before: T | None, after: T | None) -> None:
        for handler in self.handlers:
            try:
                handler(key, before, after)
            except Exception:
                log.exception("a handler of %s failed for %s", self._resource.plural, key)


def _differs(before: KubeObject, after: KubeObject) -> bool:
    """Return whether a version is new: a resumed watch may repeat events."""
    old, new = before.metadata, after.metadata
    return old.resource_version != new.resource_version or old.uid != new.uid
