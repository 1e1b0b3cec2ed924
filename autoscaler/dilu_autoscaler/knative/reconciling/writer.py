"""The only place that writes revisions' objects: each write is preceded by a look at who holds the bucket now."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from dilu_autoscaler.knative.reconciling.writes import Verb, Write, WriteKind
from dilu_kube.client import AlreadyExists, KubeClient, KubeError

_log = logging.getLogger(__name__)
BeforeScaleDown = Callable[[str, int], Awaitable[None]]
_SAID: Final = "dry run: %s would %s %s/%s%s"


class LostBucketError(Exception):
    """Another process decides on this revision by now."""


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
        """`may_write(key)`: whether we decide on that revision now. Without `writes` it is only said what would be.

        `before_scale_down(key, going)` is awaited before so many replicas of a revision that opted in go.
        """
        self.written: dict[WriteKind, int] = dict.fromkeys(WriteKind, 0)
        self.errors: dict[str, int] = {}  # by verb
        self.prevented = 0  # because the bucket was not ours any more
        self._client = client
        self._may_write = may_write
        self._writes = writes
        self._before_scale_down = before_scale_down
        self._last_said: dict[str, Sequence[str]] = {}

    async def write(self, key: str, writes: Sequence[Write], *, going: int = 0) -> None:
        """Carry out writes in their order. Raises `KubeError` where the API refuses, and `LostBucketError`."""
        if not self._writes:
            self._say(key, writes)
            return
        for write in writes:
            if write.kind is WriteKind.SCALE and going > 0 and self._may_write(key):
                await self._before_scale_down(key, going)
            await self._write_or_give_up(key, write)

    def forget(self, key: str) -> None:
        """Nothing more is to be said about a revision."""
        self._last_said.pop(key, None)

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

    def _say(self, key: str, writes: Sequence[Write]) -> None:
        """What would be written, once as long as it is the same."""
        plans = [write for write in writes if write.kind is not WriteKind.METRIC_STATUS]
        # Not the bodies: a status has the time in it.
        said = tuple(_SAID % (key, write.kind, write.namespace, write.name, _shown(write)) for write in plans)
        if said != self._last_said.get(key):
            self._last_said[key] = said
            for line in said:
                _log.info("%s", line)


async def send(client: KubeClient, write: Write) -> None:
    """Carry out one write; what is there already need not be created."""
    if write.verb is Verb.CREATE:
        try:
            await client.create(write.resource, write.namespace, _mapping(write))
        except AlreadyExists:
            _log.debug("%s %s/%s is there already", write.resource.kind, write.namespace, write.name)
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
