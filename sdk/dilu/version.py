"""Which version of the SDK runs."""

from __future__ import annotations

import functools


@functools.cache
def sdk_version() -> str:
    """The installed version of the SDK, or "unknown" where it runs from a copied folder."""
    from importlib.metadata import PackageNotFoundError, version  # takes longer than all else here

    try:
        return version("dilu")
    except PackageNotFoundError:
        return "unknown"
