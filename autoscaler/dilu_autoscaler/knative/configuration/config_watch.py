"""Keeps the configuration up to date with the cluster's ConfigMaps, and reports invalid ones."""

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
"""Maps whose change makes every revision be reconciled."""
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
        on_error: Callable[[Meta, str], None],
    ) -> None:
        """`map_names`: our name of each map, by its name in the cluster.

        `on_change` is called with our name of a map whose contents came into force, `on_error` with an invalid map and
        its validation error.
        """
        self.errors: dict[str, str] = {}  # by our name: the present validation error
        self._store = ConfigStore()
        self._map_names = map_names
        self._on_change = on_change
        self._on_error = on_error
        self._valid: set[str] = set()
        self._is_complete = asyncio.Event()
        self._informer = Informer(client, CONFIG_MAPS, type=ConfigMap, namespace=namespace)
        self._informer.on_change(self._changed)

    @property
    def config(self) -> Config:
        """Return the configuration in force."""
        return self._store.config

    @property
    def informer(self) -> Informer[ConfigMap]:
        """Return the informer of the ConfigMaps."""
        return self._informer

    def start(self) -> None:
        """Start to watch."""
        self._informer.start()

    async def complete(self) -> None:
        """Wait until every required map exists and is valid."""
        await self._informer.synced()
        if missing := sorted(REQUIRED_MAPS - self._valid):
            _log.error(
                "waiting for ConfigMaps: %s",
                "; ".join(self.errors.get(name, f"{name} is missing") for name in missing),
            )
        await self._is_complete.wait()

    async def close(self) -> None:
        """Stop watching."""
        await self._informer.close()

    def _changed(self, key: str, before: ConfigMap | None, after: ConfigMap | None) -> None:
        found = after or before
        assert found is not None
        name = self._map_names.get(found.metadata.name)
        if name is None or (before is not None and after is not None and before.data == after.data):
            return
        error = self._store.update(name, None if after is None else after.data)
        if error is not None:
            self.errors[name] = error
            _log.error("%s", error)
            self._on_error(found.metadata, error)
            return
        self.errors.pop(name, None)
        self._valid.add(name)
        if name == LOGGING:
            set_level(self._store.config.logging.level)
        self._on_change(name)
        if self._valid >= REQUIRED_MAPS:
            self._is_complete.set()


def set_level(name: str) -> None:
    """Set the log level that `config-logging` has."""
    levels = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "warning": logging.WARNING}
    logging.getLogger("dilu_autoscaler").setLevel(levels.get(name, logging.ERROR))
