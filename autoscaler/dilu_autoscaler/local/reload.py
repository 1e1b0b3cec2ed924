"""`--reload`: when the application's files change and the change loads, replicas are replaced one by one."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from importlib.util import cache_from_source
from pathlib import Path

from watchfiles import Change, DefaultFilter, awatch

from dilu.errors import DiluError
from dilu_autoscaler.local.launch_spec import Outline, make_plan, read_outline
from dilu_autoscaler.local.platform import Platform

_log = logging.getLogger(__name__)
_WATCH_AGAIN_S = 5.0
_CHECK_MS = 1000


class SourceFiles(DefaultFilter):
    """The Python files of an application and its dilu.yaml, with a digest of what was last read of each.

    Caches, virtual environments and hidden folders are left out.
    """

    def __init__(self, folder: Path, application: Path | None) -> None:
        super().__init__()
        self._folder = folder
        self._application = None if application is None else str(application)
        self._contents: dict[str, bytes | None] = {}

    def __call__(self, change: Change, path: str) -> bool:
        """Whether this file is one of them."""
        if path == self._application:
            return True
        return path.endswith(".py") and super().__call__(change, path) and not self._is_left_out(Path(path).parent)

    def read_all(self) -> list[str]:
        """Read all of them. Return those that have changed since the last time."""
        paths = set(self._contents)
        for name, subfolders, files in os.walk(self._folder):
            folder = Path(name)
            subfolders[:] = [one for one in subfolders if not _is_foreign(folder / one)]
            paths.update(path for file in files if self(Change.added, path := str(folder / file)))
        return self.changed(sorted(paths))

    def _is_left_out(self, folder: Path) -> bool:
        while folder.is_relative_to(self._folder) and folder != self._folder:
            if _is_foreign(folder):
                return True
            folder = folder.parent
        return False

    def changed(self, paths: list[str]) -> list[str]:
        """Return those of the paths whose content has changed since it was last read."""
        return [path for path in paths if self._is_new(path)]

    def _is_new(self, path: str) -> bool:
        content = _digest(path)
        is_new = self._contents.get(path) != content
        self._contents[path] = content
        return is_new


async def sources_of(outline: Outline) -> SourceFiles:
    """Read the application's files. Call it before their code is loaded, so that no later change is missed."""
    files = SourceFiles(outline.folder, outline.application)
    await asyncio.to_thread(files.read_all)
    return files


async def reload_on_change(platform: Platform, outline: Outline, files: SourceFiles) -> None:
    """Watch the application's files and replan at each change since `files` were read, until cancelled."""
    while True:
        is_watched = False
        try:
            watch = awatch(outline.folder, watch_filter=files, yield_on_timeout=True, rust_timeout=_CHECK_MS)
            async for changes in watch:
                if is_watched:
                    changed = files.changed(sorted(path for _, path in changes))
                else:  # what changed before the watch began
                    is_watched, changed = True, await asyncio.to_thread(files.read_all)
                if changed:
                    outline = await _reload(platform, outline, changed)
        except Exception:
            _log.exception("%s cannot be watched; next try in %g s", outline.folder, _WATCH_AGAIN_S)
        await asyncio.sleep(_WATCH_AGAIN_S)


async def _reload(platform: Platform, outline: Outline, paths: list[str]) -> Outline:
    """Serve the changed files if they load. Return the outline that was read last."""
    await asyncio.to_thread(_forget_bytecode, paths)
    changed = ", ".join(sorted({path.rpartition("/")[2] for path in paths})[:3])
    try:
        now = read_outline(outline.request)
        plan = await make_plan(now)
        _log_unchanged(outline, now, changed)
        platform.replan(plan)
    except DiluError as error:
        _log.error("%s changed, but does not load; the running replicas stay: %s", changed, error)
    except Exception:
        _log.exception("%s changed, but cannot be served; the running replicas stay", changed)
    else:
        _log.info("%s changed: replicas are replaced one by one", changed)
        return now
    return outline


def _forget_bytecode(paths: list[str]) -> None:
    """Delete bytecode: Python would reuse it for a file of the same size and second, as after a quick second change."""
    for path in paths:
        if path.endswith(".py"):
            with contextlib.suppress(OSError):
                Path(cache_from_source(path)).unlink()


def _log_unchanged(before: Outline, now: Outline, changed: str) -> None:
    keys = [key for key in ("name", "gateway") if getattr(before, key) != getattr(now, key)]
    if keys:
        _log.warning("%s changed %s: takes effect when `dilu up` is stopped and started", changed, " and ".join(keys))


def _is_foreign(folder: Path) -> bool:
    """Return whether the folder is hidden, made by tools, or a virtual environment of any name."""
    is_known = folder.name.startswith(".") or folder.name in DefaultFilter.ignore_dirs
    return is_known or (folder / "pyvenv.cfg").exists()


def _digest(path: str) -> bytes | None:
    """Return a digest of the file; None if it cannot be read."""
    try:
        return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).digest()
    except OSError:
        return None
