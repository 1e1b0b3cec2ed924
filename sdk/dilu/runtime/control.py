"""The line to the supervisor that started this replica: events go up, its end is noticed."""

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
    """Writes one JSON object a line to the supervisor's socket; without one (`fd` None) it is silent."""

    def __init__(self, fd: int | None) -> None:
        self._socket = None if fd is None else _connected(fd)

    def fds(self) -> list[int]:
        """The file descriptor, if there is one."""
        return [] if self._socket is None else [self._socket.fileno()]

    def send(self, event: str, **fields: Any) -> None:
        """Tell the supervisor. A supervisor that is gone is noticed by `watch`, not here."""
        if self._socket is None:
            return
        with contextlib.suppress(OSError):
            self._socket.sendall(msgspec.json.encode({"event": event, **fields}) + b"\n")

    def watch(self, on_parent_gone: Callable[[], None]) -> None:
        """Call `on_parent_gone` once the supervisor's end is closed. The loop must be running."""
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
                    on_parent_gone()

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
    os.set_inheritable(fd, False)  # not for what the function itself starts
    return connection
