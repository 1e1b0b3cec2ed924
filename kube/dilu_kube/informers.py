"""All objects of a kind as they are now, kept by one list and a watch that resumes from it.

    pods = Informer(client, PODS, type=Pod, label_selector=REVISION_LABEL, index=revision_of)
    pods.on_change(lambda key, before, after: queue.add(key))
    pods.start()
    await pods.synced()

| what happens                                           | what the informer does                            |
|--------------------------------------------------------|---------------------------------------------------|
| the server ends the watch at its time limit            | resumes from the last version                     |
| no answer, a broken or a silent stream                 | keeps its objects, resumes from the last version  |
| the version is too old (410), a line is not an event,  | lists again, and calls handlers for differences   |
| or a stream was silent from its start                  |                                                   |
| one object cannot be read                              | keeps its last readable state, logs once, counts  |
| a handler raises                                       | logs it, and calls the others                     |
| `resync_s` have passed                                 | lists again, and calls handlers for every object  |
"""

# ruff: noqa: A002  # `type` is called as msgspec calls it

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Final, Generic, TypeVar

from dilu_kube.client import KubeClient
from dilu_kube.decoding import KubeObject
from dilu_kube.errors import Gone, KubeError, Refused
from dilu_kube.object_cache import ObjectCache
from dilu_kube.reflector import Handler, Reflector
from dilu_kube.resources import Resource

T = TypeVar("T", bound=KubeObject)

log = logging.getLogger(__name__)

_MIN_PAUSE_S: Final = 0.1
_MAX_PAUSE_S: Final = 10.0
_TOO_MANY_REQUESTS: Final = 429  # at or above, the server is at fault; below, our request is
_PROVEN_S: Final = 5.0  # a watch that lasted this long worked, even without an event


def _key_of(found: Any) -> str:
    key: str = found.metadata.key
    return key


class Informer(Generic[T]):
    """The API server's objects of one kind. For one event loop."""

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        *,
        type: type[T],
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        key: Callable[[T], str] = _key_of,
        index: Callable[[T], str | None] | None = None,
        resync_s: float = 36_000.0,
        watch_s: float = 300.0,
        quiet_s: float = 90.0,
    ) -> None:
        self._client = client
        self._resource = resource
        self._type = type
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._resync_s = resync_s
        self._watch_s = watch_s
        self._quiet_s = quiet_s
        self._cache: ObjectCache[T] = ObjectCache(index)
        self._changes: Reflector[T] = Reflector(self._cache, resource, key)
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._version = ""  # to resume from; "": list first
        self._listed_s = float("-inf")
        self._contact_s = float("-inf")
        self._failures = 0  # in a row
        self._is_mute = False  # whether the open watch has sent no event yet
        self.restarts = 0
        self.relists = 0

    def on_change(self, handler: Handler[T]) -> None:
        """Call `handler(key, before, after)` at each change.

        `before` is None for a new object, `after` for a deleted one. The handler runs on the event loop: it must
        neither wait nor take long.
        """
        self._changes.handlers.append(handler)

    def get(self, key: str) -> T | None:
        """Return the object with this key (NAMESPACE/NAME), as last seen."""
        return self._cache.get(key)

    def items(self) -> Iterable[T]:
        """Return all objects as last seen. Do not iterate across an await."""
        return self._cache.items()

    def indexed(self, value: str) -> Sequence[T]:
        """Return the objects for which `index` returned `value`, in time of their number."""
        return self._cache.indexed(value)

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def has_synced(self) -> bool:
        """Return whether all objects were listed once."""
        return self._ready.is_set()

    async def synced(self) -> None:
        """Wait until all objects were listed once and the handlers called."""
        await self._ready.wait()

    @property
    def unreadable(self) -> int:
        """Return how many objects could not be read so far, each time counted."""
        return self._changes.unreadable

    @property
    def last_contact_s(self) -> float:
        """Return the seconds since the server last sent anything, the maximum age of the objects. Infinite at first."""
        now_s: float = asyncio.get_running_loop().time()
        return now_s - self._contact_s

    def start(self) -> None:
        """Start to list and watch."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"informer of {self._resource.plural}")

    async def close(self) -> None:
        """End the watch. The objects stay."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                await self._list_if_due(began_s)
                await self._follow()
                error: Exception | None = None
            except Exception as found:
                error = found
            if error is None and loop.time() - began_s >= 1.0:
                self._recovered()
                continue
            await asyncio.sleep(self._pause_s(error, lasted_s=loop.time() - began_s))

    def _pause_s(self, error: Exception | None, *, lasted_s: float) -> float:
        if lasted_s >= _PROVEN_S and self._contact_s > self._listed_s:
            self._failures = 0
        self._failures += 1
        self.restarts += 1
        # A server whose store was restored from a backup waits silently until it reaches our version, without a 410.
        was_mute = self._is_mute and lasted_s >= self._quiet_s
        if was_mute or self._must_list(error):
            self._version = ""
        if error is not None:
            self._log_failure(error)
        max_s = min(_MAX_PAUSE_S, _MIN_PAUSE_S * 2.0 ** min(self._failures, 10))
        requested_s = error.retry_after_s if isinstance(error, KubeError) else 0.0
        return min(_MAX_PAUSE_S, max(requested_s, max_s * random.uniform(0.5, 1.0)))

    def _must_list(self, error: Exception | None) -> bool:
        """Return whether a watch cannot resume from the last version. At first not under overload."""
        if isinstance(error, Refused):
            return error.status < _TOO_MANY_REQUESTS or self._failures >= 3
        return isinstance(error, Gone)

    def _log_failure(self, error: Exception) -> None:
        if not isinstance(error, KubeError):
            log.error("informer of %s failed, listing again: %r", self._resource.plural, error, exc_info=error)
            self._version = ""
        elif self._failures == 2:  # one failure may be a restart of the server, two are an outage
            log.warning("%s; keeping the %d %s known so far and retrying", error, len(self), self._resource.plural)
        else:
            log.debug("%s (consecutive failure %d)", error, self._failures)

    def _recovered(self) -> None:
        if self._failures >= 2:
            log.info("watch of %s works again after %d failures", self._resource.plural, self._failures)
        self._failures = 0

    async def _list_if_due(self, now_s: float) -> None:
        resync = self.has_synced and now_s - self._listed_s >= self._resync_s
        if self._version and not resync:
            return
        listed = await self._client.list(
            self._resource,
            self._namespace,
            type=self._type,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        )
        self.relists += 1
        self._listed_s = self._contact_s = asyncio.get_running_loop().time()
        self._version = listed.resource_version
        self._changes.take_all(listed.items, listed.broken, notify_all=resync)
        self._ready.set()

    async def _follow(self) -> None:
        events = self._client.watch(
            self._resource,
            self._namespace,
            type=self._type,
            resource_version=self._version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            timeout_s=self._watch_s,
            quiet_s=self._quiet_s,
        )
        loop = asyncio.get_running_loop()
        self._is_mute = False
        async with aclosing(events):  # type: ignore[type-var]  # it is an async generator
            async for event in events:
                self._contact_s = loop.time()
                self._changes.take(event)
                self._version = event.resource_version or self._version
                self._is_mute = event.object is None and event.kind == "BOOKMARK"  # the first one: the stream is open
                if self._failures and not self._is_mute:
                    self._recovered()
