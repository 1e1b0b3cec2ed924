"""`--reload`: when the application's files change, replicas are replaced one by one, if the change loads."""

from __future__ import annotations

import logging

from watchfiles import DefaultFilter, awatch

from dilu.errors import DiluError
from dilu_autoscaler.local.plans import Request, make_plan, read_outline
from dilu_autoscaler.local.platform import Platform

_log = logging.getLogger(__name__)
_WATCHED = (".py", ".yaml", ".yml", ".json", ".toml")


class _SourceFilter(DefaultFilter):
    """Files that make up an application; caches, environments and hidden folders are passed over."""

    def __call__(self, change: object, path: str) -> bool:
        return path.endswith(_WATCHED) and super().__call__(change, path)  # type: ignore[arg-type]  # passed through


async def reload_on_change(platform: Platform, request: Request) -> None:
    """Watch the application's folder and replan at each change, until cancelled."""
    async for changes in awatch(platform.folder, watch_filter=_SourceFilter()):
        changed = ", ".join(sorted({path.rpartition("/")[2] for _, path in changes})[:3])
        try:
            platform.replan(await make_plan(read_outline(request)))
        except DiluError as error:
            _log.error("%s changed, but does not load; what runs stays: %s", changed, error)
        else:
            _log.info("%s changed: replicas are replaced one by one", changed)
