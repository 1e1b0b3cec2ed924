"""The objects of an informer by key and by index; equal parts of them are stored once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from dilu_kube.decoding import KubeObject
from dilu_kube.objects import Pod

T = TypeVar("T", bound=KubeObject)
_MIN_TRIMMED: Final = 1_000


class Sharing:
    """Stores equal labels, annotations, owners and conditions of many objects once.

    The pods of a revision have the same ones: with 3,000 pods, three per revision, this saves 60 % of the memory for
    3 µs per event.
    """

    def __init__(self) -> None:
        self._pairs: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        self._values: dict[Any, Any] = {}

    def share(self, found: KubeObject) -> None:
        """Replace parts of the object by equal ones that are stored already."""
        metadata = found.metadata
        for field in ("labels", "annotations"):
            pairs: dict[str, str] = getattr(metadata, field)
            if pairs:
                msgspec.structs.force_setattr(metadata, field, self._pairs.setdefault(tuple(pairs.items()), pairs))
        self._share_value(metadata, "namespace")
        self._share_value(metadata, "owner_references")
        if isinstance(found, Pod):  # only their conditions are read without times
            self._share_value(found.status, "conditions")

    def _share_value(self, struct: msgspec.Struct, field: str) -> None:
        value = getattr(struct, field)
        msgspec.structs.force_setattr(struct, field, self._values.setdefault(value, value))

    def trim(self, objects: int) -> None:
        """Drop all stored parts if many may belong to deleted objects; later objects share less then."""
        if len(self._pairs) + len(self._values) > 4 * objects + _MIN_TRIMMED:
            self._pairs.clear()
            self._values.clear()


class ObjectCache(Generic[T]):
    """Objects by key, and by the value of `index`."""

    def __init__(self, index: Callable[[T], str | None] | None) -> None:
        self._index = index
        self._objects: dict[str, T] = {}
        self._groups: dict[str, dict[str, T]] = {}
        self._sharing = Sharing()

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: str) -> T | None:
        """Return the object with this key."""
        return self._objects.get(key)

    def keys(self) -> Iterable[str]:
        """Return all keys."""
        return self._objects.keys()

    def items(self) -> Iterable[T]:
        """Return all objects. Do not iterate across a change."""
        return self._objects.values()

    def indexed(self, value: str) -> Sequence[T]:
        """Return the objects with this index value."""
        return tuple(self._groups.get(value, {}).values())

    def put(self, key: str, new: T) -> T | None:
        """Store an object and return the one it replaces."""
        self._sharing.share(new)
        before = self._objects.get(key)
        self._objects[key] = new
        if self._index is not None:
            self._regroup(key, before, new)
        self._sharing.trim(len(self._objects))
        return before

    def remove(self, key: str) -> T | None:
        """Remove an object and return it."""
        before = self._objects.pop(key, None)
        if before is not None and self._index is not None:
            self._regroup(key, before, None)
        self._sharing.trim(len(self._objects))
        return before

    def _regroup(self, key: str, before: T | None, after: T | None) -> None:
        assert self._index is not None
        was = None if before is None else self._index(before)
        now = None if after is None else self._index(after)
        if was is not None and was != now:
            group = self._groups[was]
            del group[key]
            if not group:
                del self._groups[was]
        if now is not None and after is not None:
            self._groups.setdefault(now, {})[key] = after
