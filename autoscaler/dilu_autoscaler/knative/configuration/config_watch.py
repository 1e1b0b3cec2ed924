"""Keeps the configuration as the cluster's ConfigMaps have it, and says what is wrong with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from dilu_autoscaler.knative.configuration.config import (
    AUTOSCALER,
    DEPLOYMENT,
    LOGGING,
    REQUIRED_MAPS,
    Config,
    ConfigStore,
)
from dilu_kube.client import KubeClient
from dilu_kube.informers import Informer
from dilu_kube.objects import ConfigMap, Meta
from dilu_kube.resources import CONFIG_MAPS

CHANGES_REVISIONS: Final = frozenset({AUTOSCALER, DEPLOYMENT})
"""The maps after whose change every revision is looked at again."""
_log = logging.getLogger(__name__)


class ConfigWatch:
    """The configuration in force, from the maps of the Serving namespace."""

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        map_names: Mapping[str, str],
        on_change: Callable[[str], None],
        on_complaint: Callable[[Meta, str], None],
    ) -> None:
        """`map_names`: which of ours a map of the cluster is. `on_change` gets our name of a map that was taken over,
        `on_complaint` a map and what is wrong with it."""
        self.complaints: dict[str, str] = {}  # by our name: what is wrong now
        self._store = ConfigStore()
        self._map_names = map_names
        self._on_change = on_change
        self._on_complaint = on_complaint
        self._taken: set[str] = set()
        self._is_complete = asyncio.Event()
        self._informer = Informer(client, CONFIG_MAPS, type=ConfigMap, namespace=namespace)
        self._informer.on_change(self._changed)

    @property
    def config(self) -> Config:
        """What holds now."""
        return self._store.config

    @property
    def informer(self) -> Informer[ConfigMap]:
        """The maps."""
        return self._informer

    def start(self) -> None:
        """Begin to watch."""
        self._informer.start()

    async def complete(self) -> None:
        """Wait until every map that has to be there is there and can be read."""
        await self._informer.synced()
        if missing := sorted(REQUIRED_MAPS - self._taken):
            _log.error(
                "waiting for ConfigMaps: %s",
                "; ".join(self.complaints.get(name, f"{name} is missing") for name in missing),
            )
        await self._is_complete.wait()

    async def close(self) -> None:
        """Watch no more."""
        await self._informer.close()

    def _changed(self, key: str, before: ConfigMap | None, after: ConfigMap | None) -> None:
        there = after or before
        assert there is not None
        name = self._map_names.get(there.metadata.name)
        if name is None or (before is not None and after is not None and before.data == after.data):
            return
        complaint = self._store.update(name, None if after is None else after.data)
        if complaint is not None:
            self.complaints[name] = complaint
            _log.error("%s", complaint)
            self._on_complaint(there.metadata, complaint)
            return
        self.complaints.pop(name, None)
        self._taken.add(name)
        if name == LOGGING:
            set_level(self._store.config.logging.level)
        self._on_change(name)
        if self._taken >= REQUIRED_MAPS:
            self._is_complete.set()


def set_level(name: str) -> None:
    """Say as much as `config-logging` asks for."""
    levels = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "warning": logging.WARNING}
    logging.getLogger("dilu_autoscaler").setLevel(levels.get(name, logging.ERROR))
