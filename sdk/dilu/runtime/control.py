"""The control line to the supervisor that started this replica: it carries events, and its end stops the replica."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

import msgspec

from dilu.errors import ConfigError
from dilu.spec import names


class ControlLine:
    """Sends events to the supervisor, one JSON object per line; without a socket (`fd` None) it does nothing."""

    def __init__(self, fd: int | None) -> None:
        self._socket = None if fd is None else _connected(fd)

    def fds(self) -> list[int]:
        """Return the file descriptor, if there is one."""
        return [] if self._socket is None else [self._socket.fileno()]

    def send(self, event: str, **fields: Any) -> None:
        """Send an event. A supervisor that has ended is noticed by `watch`, not here."""
        if self._socket is None:
            return
        with contextlib.suppress(OSError):
            self._socket.sendall(msgspec.json.encode({"event": event, **fields}) + b"\n")

    def watch(self, on_parent_ended: Callable[[], None]) -> None:
        """Call `on_parent_ended` once the supervisor's end is closed. The loop must be running."""
        if self._socket is None:
            return
        loop, connection = asyncio.get_running_loop(), self._socket

        def readable() -> None:
            with contextlib.suppress(BlockingIOError):
                try:
                    data = connection.recv(4096, socket.MSG_DONTWAIT)
                except ConnectionError:
                    data = b""
                if not data:
                    loop.remove_reader(connection.fileno())
                    on_parent_ended()

        loop.add_reader(connection.fileno(), readable)

    def close(self) -> None:
        """Close our end."""
        if self._socket is not None:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None


def _connected(fd: int) -> socket.socket:
    try:
        connection = socket.socket(fileno=fd)
        connection.getpeername()
    except OSError as error:
        raise ConfigError(
            f"{names.ENV_CONTROL_FD} = {fd}, must be the number of an inherited, connected socket: {error.strerror}"
        ) from error
    os.set_inheritable(fd, False)  # processes that the function starts must not hold it
    return connection
