"""Reads the API's lists and watch streams into our structs."""

from __future__ import annotations

from functools import cache
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from dilu_kube.errors import Refused, Status, refusal
from dilu_kube.objects import Meta

_LINE_LIMIT: Final = 64 * 2**20  # an object in etcd has at most 1.5 MiB


class KubeObject(Protocol):
    """An object with metadata."""

    @property
    def metadata(self) -> Meta:
        """Return its name, version and so on."""


T = TypeVar("T", bound=KubeObject)


class Broken(msgspec.Struct, frozen=True):
    """An object that does not match the schema of its kind."""

    metadata: Meta
    error: str


class WatchEvent(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One line of a watch. `object` is None if it could not be read; then `broken` says why."""

    kind: str  # ADDED, MODIFIED, DELETED or BOOKMARK
    object: T | None
    resource_version: str
    broken: Broken | None = None


class Listed(msgspec.Struct, Generic[T], frozen=True):
    """All objects of a list, at one resource version."""

    items: tuple[T, ...]
    resource_version: str
    broken: tuple[Broken, ...] = ()


class Lines:
    """Splits the chunks of a stream into lines. A line of several MiB in a thousand chunks is copied once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.pending_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that end in this chunk, except empty ones."""
        *whole, rest = chunk.split(b"\n")
        if whole and self._parts:
            whole[0] = b"".join((*self._parts, whole[0]))
            self._parts.clear()
            self.pending_bytes = 0
        if rest:
            self._parts.append(rest)
            self.pending_bytes += len(rest)
        return [line for line in whole if line]

    @property
    def is_too_long(self) -> bool:
        """Return whether the unfinished line is longer than any object can be."""
        return self.pending_bytes > _LINE_LIMIT


class _WatchLine(msgspec.Struct, Generic[T]):
    type: str
    object: T


class _RawLine(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _ListMeta(msgspec.Struct, rename={"resume": "continue", "resource_version": "resourceVersion"}):
    resource_version: str = ""
    resume: str = ""


class Page(msgspec.Struct, Generic[T]):
    """One page of a list; `metadata.resume` leads to the next one."""

    metadata: _ListMeta
    items: list[T] | None = None


class _RawPage(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _Partial(msgspec.Struct):
    metadata: Meta = Meta()


@cache
def _line_decoder(kind: type) -> msgspec.json.Decoder[Any]:
    line: Any = _WatchLine
    return msgspec.json.Decoder(line[kind])


@cache
def _page_decoder(kind: type) -> msgspec.json.Decoder[Any]:
    page: Any = Page
    return msgspec.json.Decoder(page[kind])


def read_event(path: str, line: bytes, kind: type[T]) -> WatchEvent[T]:
    """Return the event of a line. Raises the error of an ERROR event, and `Refused` for a line that is not an event."""
    try:
        read: _WatchLine[T] = _line_decoder(kind).decode(line)
    except msgspec.DecodeError as error:
        return _broken_event(path, line, error)
    if read.type == "ERROR":
        raise _watch_error(path, line)
    return WatchEvent(read.type, read.object, read.object.metadata.resource_version)


def _watch_error(path: str, line: bytes) -> Exception:
    try:
        status = msgspec.json.decode(msgspec.json.decode(line, type=_RawLine).object, type=Status)
    except msgspec.DecodeError:
        status = Status(message=line[:300].decode(errors="replace"))
    return refusal("watch", path, status.code or 500, status)


def _broken_event(path: str, line: bytes, error: Exception) -> WatchEvent[T]:
    try:
        raw = msgspec.json.decode(line, type=_RawLine)
    except msgspec.DecodeError:
        shown = line[:80].decode(errors="replace")
        raise Refused(f"watch {path}: a line is not an event: {shown!r} ({error})") from error
    if raw.type == "ERROR":
        raise _watch_error(path, line)
    broken = _broken(raw.object, error)
    return WatchEvent(raw.type, None, broken.metadata.resource_version, broken)


def _broken(data: msgspec.Raw, error: Exception) -> Broken:
    try:
        metadata = msgspec.json.decode(data, type=_Partial).metadata
    except msgspec.DecodeError:
        metadata = Meta()
    return Broken(metadata=metadata, error=str(error))


def read_page(path: str, data: bytes, kind: type[T]) -> tuple[Page[T], list[Broken]]:
    """Return a page, and those of its objects that could not be read."""
    try:
        page: Page[T] = _page_decoder(kind).decode(data)
    except msgspec.DecodeError:
        return _page_one_by_one(path, data, kind)
    return page, []


def _page_one_by_one(path: str, data: bytes, kind: type[T]) -> tuple[Page[T], list[Broken]]:
    try:
        raw = msgspec.json.decode(data, type=_RawPage)
    except msgspec.DecodeError as error:
        raise Refused(
            f"list {path}: the answer is not a list: {data[:80].decode(errors='replace')!r} ({error})"
        ) from error
    items: list[T] = []
    broken: list[Broken] = []
    for one in raw.items or ():
        try:
            items.append(msgspec.json.decode(one, type=kind))
        except msgspec.DecodeError as error:
            broken.append(_broken(one, error))
    return Page(metadata=raw.metadata, items=items), broken
