"""Events on objects, as `kubectl describe` shows them. Recording never waits and never raises."""

# ruff: noqa: A002  # `type` is called as the API calls it

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from dilu_kube.client import MERGE_PATCH, KubeClient
from dilu_kube.errors import KubeError, NotFound
from dilu_kube.objects import Meta
from dilu_kube.resources import EVENTS, Resource
from dilu_kube.work_queue import WorkQueue

log = logging.getLogger(__name__)

EventType = Literal["Normal", "Warning"]
_SAME_EVENT_S: Final = 600.0
_PATCH_EVERY_S: Final = 60.0
_MAX_EVENTS: Final = 1_000
_MAX_MESSAGE: Final = 1_024
_MAX_NAME_PREFIX: Final = 220  # a name has at most 253 characters


@dataclass(slots=True, kw_only=True)
class _RecordedEvent:
    """One event, and when it was last written."""

    name: str
    namespace: str
    body: Mapping[str, Any]
    count: int
    seen_s: float  # wall time of the last sighting
    sent_s: float | None = None  # wall time of the last write; None: not written yet


class EventRecorder:
    """Writes events in the background. Equal events within ten minutes are one event with a count.

    It keeps at most a thousand different events and drops the oldest beyond, and events that the server refuses.
    """

    def __init__(self, client: KubeClient, component: str, now_s: Callable[[], float], *, instance: str = "") -> None:
        self._client = client
        self._component = component
        self._instance = instance or component
        self._now_s = now_s
        self._events: OrderedDict[str, _RecordedEvent] = OrderedDict()
        self._queue = WorkQueue(self._send, workers=1)
        self._numbers = itertools.count()
        self.dropped = 0

    def record(self, resource: Resource, meta: Meta, *, type: EventType, reason: str, message: str) -> None:
        """Record that something happened to the object."""
        now_s = self._now_s()
        message = message[:_MAX_MESSAGE]
        key = "\0".join((resource.kind, meta.uid or meta.key, type, reason, message))
        known = self._events.get(key)
        if known is not None and now_s - known.seen_s < _SAME_EVENT_S:
            known.count += 1
            known.seen_s = now_s
            self._events.move_to_end(key)
            if known.sent_s is not None:
                # The minimum holds where the wall clock was set back meanwhile.
                self._queue.add_after(key, min(_PATCH_EVERY_S, known.sent_s + _PATCH_EVERY_S - now_s))
            return
        self._events[key] = self._new(resource, meta, type, reason, message, now_s)
        self._events.move_to_end(key)
        if len(self._events) > _MAX_EVENTS:
            _, oldest = self._events.popitem(last=False)
            self.dropped += oldest.sent_s is None
        self._queue.start()
        self._queue.add(key)

    def _new(
        self, resource: Resource, meta: Meta, type: EventType, reason: str, message: str, now_s: float
    ) -> _RecordedEvent:
        name = f"{meta.name[:_MAX_NAME_PREFIX]}.{int(now_s * 1e6):x}{next(self._numbers) % 256:02x}"
        namespace = meta.namespace or "default"
        involved = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "namespace": meta.namespace,
            "name": meta.name,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
        }
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved,
            "type": type,
            "reason": reason,
            "message": message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
            "firstTimestamp": _timestamp(now_s),
        }
        return _RecordedEvent(name=name, namespace=namespace, body=body, count=1, seen_s=now_s)

    async def _send(self, key: str) -> None:
        event = self._events.get(key)
        if event is None:
            return  # dropped meanwhile
        counted = {"count": event.count, "lastTimestamp": _timestamp(event.seen_s)}
        is_new, event.sent_s = event.sent_s is None, self._now_s()
        try:
            if is_new:
                await self._client.create(EVENTS, event.namespace, {**event.body, **counted})
            else:
                await self._count(event, counted)
        except KubeError as error:
            self.dropped += 1
            if self._events.get(key) is event:
                del self._events[key]
            log.debug("event dropped: %s", error)

    async def _count(self, event: _RecordedEvent, counted: Mapping[str, Any]) -> None:
        try:
            await self._client.patch(EVENTS, event.namespace, event.name, counted, content_type=MERGE_PATCH)
        except NotFound:  # the server keeps events for an hour
            await self._client.create(EVENTS, event.namespace, {**event.body, **counted})

    async def close(self) -> None:
        """Wait up to a second for the event that is being written; all others are lost."""
        await self._queue.close(grace_s=1.0)


def _timestamp(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
