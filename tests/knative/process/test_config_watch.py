"""The configuration follows the ConfigMaps; a bad one keeps the contents before, and is said."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dilu_autoscaler.knative.configuration.config_watch import ConfigWatch, set_level
from dilu_autoscaler.knative.configuration.process_settings import map_names
from dilu_kube.client import KubeClient
from dilu_kube.resources import CONFIG_MAPS
from knative.process.knative_around import SERVING, Knative
from kube.fake_api_server import ApiServer
from loops import Run, until


class Watched:
    """A watch with what it told."""

    def __init__(self, server: ApiServer, client: KubeClient, names: dict[str, str]) -> None:
        self.server = server
        self.knative = Knative(server=server)
        self.changed: list[str] = []
        self.errors: list[tuple[str, str]] = []
        self.config = ConfigWatch(
            client,
            namespace=SERVING,
            map_names=names,
            on_change=self.changed.append,
            on_error=lambda meta, error: self.errors.append((meta.name, error)),
        )

    async def complete(self) -> None:
        async with asyncio.timeout(5):
            await self.config.complete()


@asynccontextmanager
async def watching(folder: Path, environment: dict[str, str] | None = None) -> AsyncIterator[Watched]:
    async with ApiServer(folder / "kubeconfig") as server:
        client = await KubeClient.connect(server.kubeconfig)
        watched = Watched(server, client, map_names(environment or {}))
        try:
            yield watched
        finally:
            await watched.config.close()
            await client.close()


def test_what_the_maps_say_holds_from_the_start_and_after_each_change(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with watching(tmp_path) as watched:
            watched.knative.configure(autoscaler={"stable-window": "30s"})
            watched.config.start()
            await watched.complete()
            assert watched.config.config.autoscaler.stable_window_s == 30
            assert len(watched.changed) == 6
            watched.knative.config_map("config-autoscaler", {"stable-window": "40s"})
            await until(lambda: watched.config.config.autoscaler.stable_window_s == 40)
            assert watched.changed[6:] == ["config-autoscaler"]

    run(main)


def test_a_bad_map_keeps_the_contents_before_and_is_said_until_it_is_mended(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with watching(tmp_path) as watched:
            watched.knative.configure(autoscaler={"stable-window": "30s"})
            watched.config.start()
            await watched.complete()
            watched.knative.config_map("config-autoscaler", {"stable-window": "a while"})
            await until(lambda: bool(watched.errors))
            assert watched.config.config.autoscaler.stable_window_s == 30
            ((name, error),) = watched.errors
            assert name == "config-autoscaler"
            assert "stable-window" in error
            assert "the previous contents stay in force" in error
            assert watched.config.errors == {"config-autoscaler": error}
            watched.knative.config_map("config-autoscaler", {"stable-window": "50s"})
            await until(lambda: watched.config.config.autoscaler.stable_window_s == 50)
            assert watched.config.errors == {}

    run(main)


def test_a_map_that_is_deleted_changes_nothing(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with watching(tmp_path) as watched:
            watched.knative.configure(autoscaler={"stable-window": "30s"})
            watched.config.start()
            await watched.complete()
            watched.server.remove(CONFIG_MAPS, SERVING, "config-autoscaler")
            await until(lambda: "was deleted" in watched.config.errors.get("config-autoscaler", ""))
            assert watched.config.config.autoscaler.stable_window_s == 30
            watched.knative.config_map("config-autoscaler", {"stable-window": "30s"})
            await until(lambda: not watched.config.errors)

    run(main)


def test_the_start_waits_for_a_map_that_is_missing_or_cannot_be_read_and_says_which(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with watching(tmp_path) as watched:
            watched.knative.configure(deployment={})  # without the sidecar's image
            watched.server.remove(CONFIG_MAPS, SERVING, "config-network")
            watched.config.start()
            waiting = asyncio.create_task(watched.config.complete())
            await until(lambda: "waiting for ConfigMaps" in caplog.text)
            said = next(one.message for one in caplog.records if "waiting" in one.message)
            assert "queue-sidecar-image" in said
            assert "config-network is missing" in said
            watched.knative.config_map("config-network", {})
            watched.knative.config_map("config-deployment", {"queue-sidecar-image": "queue"})
            async with asyncio.timeout(5):
                await waiting

    with caplog.at_level(logging.ERROR):
        run(main)


def test_without_the_map_of_the_leases_there_is_one_bucket(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with watching(tmp_path) as watched:
            watched.knative.configure()
            watched.server.remove(CONFIG_MAPS, SERVING, "config-leader-election")
            watched.config.start()
            await watched.complete()
            assert watched.config.config.leader_election.buckets == 1

    run(main)


def test_a_map_may_have_another_name_in_the_cluster(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with watching(tmp_path, {"CONFIG_LOGGING_NAME": "our-logging"}) as watched:
            watched.knative.configure()
            watched.server.remove(CONFIG_MAPS, SERVING, "config-logging")
            watched.knative.config_map("our-logging", {"loglevel.autoscaler": "error"})
            watched.knative.config_map("another-owner-s", {"loglevel.autoscaler": "debug"})
            watched.config.start()
            await watched.complete()
            assert logging.getLogger("dilu_autoscaler").level == logging.ERROR
            watched.knative.config_map("our-logging", {"loglevel.autoscaler": "debug"})
            await until(lambda: logging.getLogger("dilu_autoscaler").level == logging.DEBUG)

    try:
        run(main)
    finally:
        logging.getLogger("dilu_autoscaler").setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    ("name", "level"), [("debug", 10), ("info", 20), ("warn", 30), ("warning", 30), ("error", 40), ("dpanic", 40)]
)
def test_levels_are_those_of_knative(name: str, level: int) -> None:
    logger = logging.getLogger("dilu_autoscaler")
    try:
        set_level(name)
        assert logger.level == level
    finally:
        logger.setLevel(logging.NOTSET)
