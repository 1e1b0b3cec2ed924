"""Addresses of HTTP servers."""

from __future__ import annotations

from typing import TypeAlias

Address: TypeAlias = tuple[str, int]
"""Host and port."""


def host_header(address: Address) -> str:
    """Return the address as a Host header has it.

    >>> host_header(("10.0.0.1", 9090)), host_header(("fd00::1", 9090))
    ('10.0.0.1:9090', '[fd00::1]:9090')
    """
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
