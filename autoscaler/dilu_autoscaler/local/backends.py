"""The ready replicas of one function, and the requests that wait for one of them.

A request goes to the replica with the fewest in flight, up to `max_in_flight` of each. The others wait here, first come
first served, and are bound to a replica only when one has room, so that a new replica helps at once. A stream takes no
room once it has begun: it may last for hours, and costs its replica little.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from dilu.errors import RequestError
from dilu.http.client.upstream import Upstream

# A process that is killed closes its connections one after the other; its supervisor learns of it last.
_SUSPENDED_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitLimits:
    """How much may wait for one function, and how long."""

    max_waiting: int = 1000
    max_bytes: int = 256 * 1024 * 1024
    max_wait_s: float = 120.0


@dataclass(slots=True, eq=False)
class Backend:
    """One ready replica as the gateway sees it."""

    id: str
    upstream: Upstream
    max_in_flight: int
    in_flight: int = 0  # with streams
    streams: int = 0  # answers that have begun and are streams: they take no room
    is_routable: bool = True
    is_removed: bool = False

    @property
    def has_room(self) -> bool:
        """Whether it may get one more request."""
        return self.in_flight - self.streams < self.max_in_flight


class Backends:
    """Gives each request a replica: `acquire`, then always `release`."""

    def __init__(self, function: str, limits: WaitLimits, *, on_wait: Callable[[], None]) -> None:
        self._function = function
        self._limits = limits
        self._on_wait = on_wait
        self._backends: list[Backend] = []
        self._waiting: OrderedDict[asyncio.Future[Backend], int] = OrderedDict()  # -> bytes held
        self._bytes = 0
        self._blocked: Callable[[], RequestError] | None = None
        self.learned_rps: float | None = None  # of one replica; tells how long a full queue takes

    @property
    def waiting(self) -> int:
        """Requests that wait for a replica."""
        return len(self._waiting)

    @property
    def ready(self) -> int:
        """Replicas that requests may go to."""
        return len(self._backends)

    def add(self, backend: Backend) -> None:
        """Add a ready replica. It gets what waits, as far as it has room."""
        self._blocked = None
        self._backends.append(backend)
        self._hand_out(backend)

    def remove(self, backend: Backend) -> None:
        """Send nothing more to this replica; its requests in flight continue."""
        if not backend.is_removed:
            backend.is_removed = True
            self._unroute(backend)
            backend.upstream.close()

    def suspend(self, backend: Backend) -> None:
        """Send nothing to this replica for a moment: its process may be ending, and would lose what it gets."""
        if backend.is_routable:
            self._unroute(backend)
            asyncio.get_running_loop().call_later(_SUSPENDED_S, self._resume, backend)

    def block(self, reason: Callable[[], RequestError]) -> None:
        """Fail what waits and what arrives with this error, until `unblock` or `add`: no replica can start."""
        if self._backends:
            return
        self._blocked = reason
        for future in list(self._waiting):
            if not future.done():
                future.set_exception(reason())

    def unblock(self) -> None:
        """Let requests wait again: a replica is being started."""
        self._blocked = None

    def free(self, besides: Backend | None = None) -> Backend | None:
        """Return the replica with the fewest in flight that has room, or None."""
        best, fewest, streams = None, 0, 0
        for backend in self._backends:
            taken = backend.in_flight - backend.streams
            if (
                taken < backend.max_in_flight
                and (best is None or taken < fewest or (taken == fewest and backend.streams < streams))
                and backend is not besides
            ):
                best, fewest, streams = backend, taken, backend.streams
        return best

    async def acquire(self, size_bytes: int, *, first: bool = False) -> Backend:
        """Wait for a replica with room and return it. `first`: wait in front of all others, after a replica refused.

        Raises `RequestError` if the queue is full, the wait takes too long, or no replica can start.
        """
        if not self._waiting and (backend := self.free()) is not None:
            backend.in_flight += 1
            return backend
        self._check_room(size_bytes)
        future: asyncio.Future[Backend] = asyncio.get_running_loop().create_future()
        self._waiting[future] = size_bytes
        if first:
            self._waiting.move_to_end(future, last=False)
        self._bytes += size_bytes
        self._on_wait()
        try:
            async with asyncio.timeout(self._limits.max_wait_s):
                return await future
        except TimeoutError:
            self._release_unused(future)
            raise self._waited_too_long() from None
        except asyncio.CancelledError:
            self._release_unused(future)
            raise
        finally:
            self._bytes -= size_bytes
            self._waiting.pop(future, None)

    def take(self, backend: Backend) -> Backend:
        """Count one more in flight at the replica that `free` found."""
        backend.in_flight += 1
        return backend

    def begin_stream(self, backend: Backend) -> None:
        """Count an answer of this replica as a stream: the next in the queue may go to it."""
        backend.streams += 1
        if self._waiting:
            self._hand_out(backend)

    def end_stream(self, backend: Backend) -> None:
        """Undo `begin_stream`; `release` follows."""
        backend.streams -= 1

    def release(self, backend: Backend) -> None:
        """End one request of this replica: the next in the queue may go to it."""
        backend.in_flight -= 1
        if self._waiting:
            self._hand_out(backend)

    def _unroute(self, backend: Backend) -> None:
        if backend.is_routable:
            backend.is_routable = False
            self._backends.remove(backend)

    def _resume(self, backend: Backend) -> None:
        if not backend.is_removed:
            self._blocked = None
            backend.is_routable = True
            self._backends.append(backend)
            self._hand_out(backend)

    def _hand_out(self, backend: Backend) -> None:
        while self._waiting and backend.is_routable and backend.has_room:
            future, _ = self._waiting.popitem(last=False)
            if not future.done():
                backend.in_flight += 1
                future.set_result(backend)

    def _release_unused(self, future: asyncio.Future[Backend]) -> None:
        """Release the replica of a request that gave up just when it got one."""
        if future.done() and not future.cancelled() and future.exception() is None:
            self.release(future.result())

    def _check_room(self, size_bytes: int) -> None:
        if self._blocked is not None:
            raise self._blocked()
        if len(self._waiting) < self._limits.max_waiting and self._bytes + size_bytes <= self._limits.max_bytes:
            return
        message = f"{self._function}: {len(self._waiting)} requests ({self._bytes // 1024} KiB) are waiting"
        if not self._backends:
            raise RequestError(503, "starting", f"{message} for its first replica", retry_after_s=1)
        raise RequestError(429, "queue-full", message, retry_after_s=self._drain_s())

    def _drain_s(self) -> int:
        """Return the whole seconds in which the ready replicas answer what waits now; 1 if that is not known."""
        if not self.learned_rps:
            return 1
        return max(1, math.ceil(len(self._waiting) / (self.learned_rps * len(self._backends))))

    def _waited_too_long(self) -> RequestError:
        max_wait_s = self._limits.max_wait_s
        if not self._backends:
            message = f"{self._function}: no replica became ready within {max_wait_s:g} s"
            return RequestError(503, "starting", message, retry_after_s=5)
        message = f"{self._function}: no replica had room within {max_wait_s:g} s"
        return RequestError(503, "queue-timeout", message, retry_after_s=self._drain_s())
