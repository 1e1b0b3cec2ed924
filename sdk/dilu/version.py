"""The version of the installed SDK."""

from __future__ import annotations

import functools


@functools.cache
def sdk_version() -> str:
    """Return the installed version of the SDK, or "unknown" if it runs from a copied folder."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import, so only when it is needed

    try:
        return version("dilu")
    except PackageNotFoundError:
        return "unknown"
