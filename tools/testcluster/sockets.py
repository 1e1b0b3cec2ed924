"""Connections into a cluster's network from a process of the machine, without a device that joins the two."""

from __future__ import annotations

import ctypes
import http.client
import os
import socket
import ssl
import threading
from typing import Final

_NETWORK_NAMESPACE: Final = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def connect_in(network: str, address: tuple[str, int], timeout_s: float) -> socket.socket:
    """Return a TCP connection that belongs to the network namespace with this path. Needs root.

    A socket stays in the namespace in which it was made. A thread of its own enters it and ends there, so that this
    process never has a thread in a foreign network.
    """
    made: list[socket.socket | OSError] = []

    def make() -> None:
        try:
            _enter(network)
            made.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=make, name="enter-network")
    thread.start()
    thread.join()
    [result] = made
    if isinstance(result, OSError):
        raise result
    result.settimeout(timeout_s)
    try:
        result.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        result.connect(address)
    except BaseException:
        result.close()
        raise
    return result


def _enter(network: str) -> None:
    namespace = os.open(network, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(namespace, _NETWORK_NAMESPACE) != 0:
            raise OSError(ctypes.get_errno(), f"entering {network}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(namespace)


class ClusterConnection(http.client.HTTPConnection):
    """HTTP to an address in a cluster's network; with a context, HTTPS."""

    def __init__(
        self, network: str, host: str, port: int, *, timeout_s: float, context: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(host, port, timeout=timeout_s)
        self._network = network
        self._context = context
        self._timeout_s = timeout_s

    def connect(self) -> None:
        """Open the connection in the cluster's network."""
        plain = connect_in(self._network, (self.host, self.port), self._timeout_s)
        if self._context is None:
            self.sock = plain
            return
        try:
            self.sock = self._context.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def client_context(authority: str, certificate: str, key: str) -> ssl.SSLContext:
    """Trusts the cluster's authority and shows a client certificate."""
    context = ssl.create_default_context(cafile=authority)
    context.load_cert_chain(certificate, key)
    return context


def unchecked_context() -> ssl.SSLContext:
    """For health checks of components that sign their own certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
