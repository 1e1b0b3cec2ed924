"""The consistent hash by which all components of Knative choose names for a key.

Autoscalers choose a revision's bucket with it, and Knative's controller a revision's activators. All sides must compute
the same. Source: the Knative contract (`knative.dev/pkg/hash`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

_UNIVERSE: Final = 2048  # positions on the ring
_START_SALT: Final = "start-angle-salt"
_STEP_SALT: Final = "step-angle-salt"
_FNV_OFFSET: Final = 0xCBF29CE484222325
_FNV_PRIME: Final = 0x100000001B3
_64_BITS: Final = (1 << 64) - 1


def bucket_name(ordinal: int, total: int) -> str:
    """Return the name of a bucket, which is the name of its Lease and of its Service.

    >>> bucket_name(0, 1)
    'autoscaler-bucket-00-of-01'
    """
    return f"autoscaler-bucket-{ordinal:02d}-of-{total:02d}"


def owner(key: str, names: Iterable[str]) -> str:
    """Return the name that owns `key`. Raises `ValueError` if there are no names.

    >>> owner("default/hello-00001", [bucket_name(0, 2), bucket_name(1, 2)])
    'autoscaler-bucket-01-of-02'
    """
    found = subset(key, names, 1)
    if not found:
        raise ValueError(f"{key}: no names to choose an owner from")
    return found[0]


def subset(key: str, names: Iterable[str], count: int) -> list[str]:
    """Return `count` of the names, sorted: always the same for a key, and mostly the same when names change.

    >>> subset("hello-00001", [f"10.0.0.{last}" for last in range(1, 6)], 2)
    ['10.0.0.4', '10.0.0.5']
    """
    ordered = sorted(set(names))
    if count >= len(ordered):
        return ordered
    ring = _positions(key, ordered)
    positions = sorted(ring)
    angle = _fnv1a(key + _START_SALT) % _UNIVERSE
    step = _fnv1a(key + _STEP_SALT) % _UNIVERSE
    taken: set[str] = set()
    while len(taken) < count:
        at = bisect_left(positions, angle)
        for offset in range(len(positions)):
            name = ring[positions[(at + offset) % len(positions)]]
            if name not in taken:
                taken.add(name)
                break
        angle = (angle + step) % _UNIVERSE
    return sorted(taken)


def _positions(key: str, names: list[str]) -> dict[int, str]:
    """Return each name by its position on the ring; a name whose position is taken is hashed again."""
    ring: dict[int, str] = {}
    for name in names:
        text = name + key
        value = _fnv1a(text)
        while value % _UNIVERSE in ring:
            text += f"{value:x}"
            value = _fnv1a(text)
        ring[value % _UNIVERSE] = name
    return ring


def _fnv1a(text: str) -> int:
    value = _FNV_OFFSET
    for byte in text.encode():
        value = ((value ^ byte) * _FNV_PRIME) & _64_BITS
    return value
