"""The only place that writes revisions' objects. Before each write it checks that we hold the bucket."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from dilu_autoscaler.knative.reconciling.writes import Verb, Write, WriteKind
from dilu_kube.client import AlreadyExists, KubeClient, KubeError

_log = logging.getLogger(__name__)
BeforeScaleDown = Callable[[str, int], Awaitable[None]]
_PLANNED: Final = "dry run: %s would %s %s/%s%s"


class LostBucketError(Exception):
    """Another process decides on this revision now."""


class Writer:
    """Carries out plans."""

    def __init__(
        self,
        client: KubeClient,
        *,
        may_write: Callable[[str], bool],
        writes: bool,
        before_scale_down: BeforeScaleDown,
    ) -> None:
        """`may_write(key)` returns whether we decide on a revision now. Without `writes`, plans are only logged.

        `before_scale_down(key, going)` is awaited before `going` replicas of an opted-in revision stop.
        """
        self.written: dict[WriteKind, int] = dict.fromkeys(WriteKind, 0)
        self.errors: dict[str, int] = {}  # by verb
        self.prevented = 0  # writes, because the bucket was lost
        self._client = client
        self._may_write = may_write
        self._writes = writes
        self._before_scale_down = before_scale_down
        self._last_logged: dict[str, Sequence[str]] = {}

    async def write(self, key: str, writes: Sequence[Write], *, going: int = 0) -> None:
        """Carry out writes in order. Raises `KubeError` if the API refuses one, and `LostBucketError`."""
        if not self._writes:
            self._log_plan(key, writes)
            return
        for write in writes:
            if write.kind is WriteKind.SCALE and going > 0 and self._may_write(key):
                await self._before_scale_down(key, going)
            await self._write_or_give_up(key, write)

    def forget(self, key: str) -> None:
        """Drop everything about a revision."""
        self._last_logged.pop(key, None)

    async def _write_or_give_up(self, key: str, write: Write) -> None:
        try:
            await self._carry_out(key, write)
        except KubeError:
            self.errors[write.verb] = self.errors.get(write.verb, 0) + 1
            if write.if_it_fails is not None:
                await self._carry_out(key, write.if_it_fails)
            raise

    async def _carry_out(self, key: str, write: Write) -> None:
        if not self._may_write(key):
            self.prevented += 1
            raise LostBucketError(key)
        await send(self._client, write)
        self.written[write.kind] += 1

    def _log_plan(self, key: str, writes: Sequence[Write]) -> None:
        """Log planned writes, once per distinct plan."""
        plans = [write for write in writes if write.kind is not WriteKind.METRIC_STATUS]
        # Without the bodies: a status contains the time.
        lines = tuple(_PLANNED % (key, write.kind, write.namespace, write.name, _shown(write)) for write in plans)
        if lines != self._last_logged.get(key):
            self._last_logged[key] = lines
            for line in lines:
                _log.info("%s", line)


async def send(client: KubeClient, write: Write) -> None:
    """Carry out one write; an object that exists already is not an error."""
    if write.verb is Verb.CREATE:
        try:
            await client.create(write.resource, write.namespace, _mapping(write))
        except AlreadyExists:
            _log.debug("%s %s/%s exists already", write.resource.kind, write.namespace, write.name)
    elif write.verb is Verb.REPLACE:
        await client.replace(
            write.resource, write.namespace, write.name, _mapping(write), subresource=write.subresource
        )
    else:
        await client.patch(
            write.resource,
            write.namespace,
            write.name,
            write.body,
            content_type=write.content_type,
            subresource=write.subresource,
        )


def _mapping(write: Write) -> Mapping[str, Any]:
    assert isinstance(write.body, dict)
    return write.body


def _shown(write: Write) -> str:
    return f" to {write.body[0]['value']}" if isinstance(write.body, list) else ""
