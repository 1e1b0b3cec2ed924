"""An informer knows what the server has, whatever the server does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from dilu_kube.informers import Informer
from dilu_kube.object_cache import ObjectCache
from dilu_kube.objects import ConfigMap, Meta
from dilu_kube.resources import CONFIG_MAPS
from kube.fake_api_server import (
    ApiServer,
    Run,
    Script,
    answering,
    config_map,
    hang_up,
    line,
    silent,
    status,
    streaming,
)


class Watched:
    """An informer and what it told."""

    def __init__(self, server: ApiServer, **options: Any) -> None:
        self.server = server
        self.options = options
        self.log: list[str] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Watched:
        self.client = await self.server.client(request_s=1)
        self.informer = Informer(self.client, CONFIG_MAPS, type=ConfigMap, namespace="ns", **self.options)
        self.informer.on_change(self._note)
        self.informer.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.informer.close()
        await self.client.close()

    def _note(self, key: str, before: ConfigMap | None, after: ConfigMap | None) -> None:
        assert self.informer.get(key) is after
        what = "add" if before is None else "delete" if after is None else "update"
        self.log.append(f"{what} {key.removeprefix('ns/')}")
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    async def told(self, *wanted: str) -> None:
        await self.until(lambda: len(self.log) >= len(wanted))
        assert self.log == list(wanted)

    def names(self) -> dict[str, dict[str, str]]:
        return {one.metadata.name: one.data for one in self.informer.items()}

    async def same_as_the_server(self) -> None:
        await self.until(lambda: self.names() == {name: one["data"] for name, one in self.server.maps().items()})


def test_it_tells_what_there_is_and_what_changes(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        server.put_map("a", key="1")
        async with Watched(server) as watched:
            await watched.informer.synced()
            assert watched.informer.has_synced
            assert watched.log == ["add a"]
            server.put_map("b")
            server.put_map("a", key="2")
            server.remove_map("b")
            await watched.told("add a", "add b", "update a", "delete b")
            assert watched.names() == {"a": {"key": "2"}}
            assert watched.informer.last_contact_s < 5
            assert watched.informer.restarts == 0

    run(main)


def test_a_watch_that_ends_goes_on_where_it_was(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        server.put_map("a")
        bookmark = line("BOOKMARK", {"metadata": {"resourceVersion": "150"}})
        server.next("watch", streaming(bookmark, then="end"))
        async with Watched(server) as watched:
            await watched.informer.synced()
            server.store.version = 150
            server.put_map("b")
            await watched.told("add a", "add b")
        assert [one.query["resourceVersion"] for one in server.asked("watch")] == ["101", "150"]
        assert len(server.asked("list")) == 1

    run(main)


INTERRUPTIONS: list[tuple[str, Script]] = [
    ("hangs up", hang_up),
    ("never answers", silent),
    ("breaks", streaming(line("ADDED", config_map("a", 101)), then="break")),
    ("breaks within an event", streaming(line("ADDED", config_map("a", 101))[:-20], then="break")),
    ("says nothing more", streaming()),
    ("is overloaded", answering(429, status(429, "TooManyRequests", "slow down"))),
    ("has an error", answering(500, "etcd is away")),
    ("has an error in the stream", streaming(line("ERROR", status(500, "InternalError", "etcd is away")))),
    ("forgot", answering(410, status(410, "Expired", "too old"))),
    ("forgot, in the stream", streaming(line("ERROR", status(410, "Expired", "too old")))),
    ("sends garbage", streaming(b"garbage\n")),
    ("sends half a character", streaming(b'{"type": "ADDED", "object": {"metadata": {"name": "\xc3"}}}\n')),
]


@pytest.mark.parametrize("script", [one[1] for one in INTERRUPTIONS], ids=[one[0] for one in INTERRUPTIONS])
def test_after_each_interruption_it_is_right_again(run: Run, script: Script) -> None:
    async def main(server: ApiServer) -> None:
        server.put_map("a")
        server.put_map("c")
        server.next("watch", script, script)
        async with Watched(server, quiet_s=0.2) as watched:
            await watched.informer.synced()
            server.put_map("a", key="2")
            server.remove_map("c")
            server.put_map("new")
            await watched.same_as_the_server()
            assert watched.informer.restarts >= 1
            assert watched.log.count("delete c") == 1
            assert watched.log.count("add new") == 1

    run(main)


def test_after_410_only_what_differs_is_told(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        for name in ("same", "changed", "deleted"):
            server.put_map(name)

        async def too_old(server: ApiServer, request: Any) -> Any:
            server.put_map("changed", key="2")
            server.remove_map("deleted")
            server.put_map("new")
            server.store.history.clear()
            return await answering(410, status(410, "Expired", "too old"))(server, request)

        server.next("watch", too_old)
        async with Watched(server) as watched:
            await watched.told("add changed", "add deleted", "add same", "update changed", "add new", "delete deleted")
            assert watched.informer.relists == 2

    run(main)


def test_a_store_that_was_set_back_is_noticed(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        later = {"metadata": {"resourceVersion": "9000"}, "items": [config_map("a", 8999), config_map("lost", 8998)]}
        server.next("list", answering(200, later))
        server.put_map("a", key="from the backup")
        async with Watched(server, quiet_s=0.2) as watched:
            await watched.told("add a", "add lost", "update a", "delete lost")
            assert watched.names() == {"a": {"key": "from the backup"}}

    run(main)


def test_a_server_that_forgets_all_the_time_is_not_asked_all_the_time(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        server.put_map("a")
        server.next("watch", *[streaming(line("ERROR", status(410, "Expired", "too old")), then="end")] * 100)
        async with Watched(server) as watched:
            await watched.informer.synced()
            await asyncio.sleep(1.5)
            assert len(server.asked("list")) < 8
            assert watched.log == ["add a"]

    run(main)


def test_an_outage_keeps_what_is_known(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main(server: ApiServer) -> None:
        server.put_map("a")
        async with Watched(server) as watched:
            await watched.informer.synced()
            await server.close()
            while watched.informer.restarts < 4:
                await asyncio.sleep(0.01)
            assert watched.names() == {"a": {}}
            assert watched.log == ["add a"]
            server.put_map("b")
            await server.open()
            await watched.told("add a", "add b")
            assert len(server.asked("list")) == 1

    with caplog.at_level(logging.INFO):
        run(main)
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    [warning] = warnings
    assert "keeping the 1 configmaps known so far and retrying" in warning
    assert any("works again after" in record.message for record in caplog.records)


def test_it_waits_for_a_server_that_comes_later(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        server.put_map("a")
        server.next("list", hang_up, hang_up, answering(503, "starting"), answering(200, "no list"))
        async with Watched(server) as watched:
            assert not watched.informer.has_synced
            assert watched.informer.last_contact_s == float("inf")
            await watched.informer.synced()
            assert watched.log == ["add a"]

    run(main)


def test_an_object_that_cannot_be_read_is_left_as_it_was(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    strange = config_map("a", 200) | {"data": [1]}

    async def main(server: ApiServer) -> None:
        server.put_map("a", key="1")
        server.next(
            "watch",
            streaming(
                line("MODIFIED", strange),
                line("MODIFIED", strange),
                line("ADDED", config_map("b", 201)),
                line("ERROR", status(410, "Expired", "too old")),
            ),
        )
        items = [strange, config_map("c", 202), {"metadata": 5}]
        page = {"metadata": {"resourceVersion": "202"}, "items": items}
        server.next("list", server_list, answering(200, page))
        deleted = line("DELETED", strange | {"metadata": strange["metadata"] | {"resourceVersion": "203"}})
        server.next("watch", streaming(deleted))
        async with Watched(server) as watched:
            await watched.told("add a", "add b", "add c", "delete b", "delete a")
            assert watched.informer.unreadable == 5
            assert watched.names() == {"c": {}}

    with caplog.at_level(logging.WARNING):
        run(main)
    warned = [record.message for record in caplog.records]
    assert [message.split(":")[0] for message in warned] == [
        "ConfigMap ns/a cannot be read and is ignored",
        "ConfigMap / cannot be read and is ignored",
    ]


async def server_list(server: ApiServer, request: Any) -> Any:
    """As without a script."""
    return server.list_page(server.asked("list")[-1])


def test_a_handler_that_raises_stops_nothing(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    def bad(key: str, before: ConfigMap | None, after: ConfigMap | None) -> None:
        raise ZeroDivisionError

    async def main(server: ApiServer) -> None:
        server.put_map("a")
        async with Watched(server) as watched:
            watched.informer._changes.handlers.insert(0, bad)
            server.put_map("b")
            await watched.told("add a", "add b")

    run(main)
    assert "a handler of configmaps failed for ns/b" in caplog.text


def test_a_resync_lists_again_and_tells_of_all(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        server.put_map("a")
        server.put_map("b")
        server.next("watch", streaming(then="end"))
        async with Watched(server, resync_s=0.01) as watched:
            await watched.told("add a", "add b", "update a", "update b")

    run(main)


def test_the_index_follows(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        server.put_map("a", team="red")
        server.put_map("b", team="red")
        server.put_map("c")
        async with Watched(server, index=lambda one: one.data.get("team")) as watched:

            def team(name: str) -> list[str]:
                return [one.metadata.name for one in watched.informer.indexed(name)]

            await watched.informer.synced()
            assert (team("red"), team("blue")) == (["a", "b"], [])
            server.put_map("a", team="blue")
            server.put_map("b", team="red", more="x")
            server.put_map("c", team="blue")
            await watched.until(lambda: watched.names()["c"] != {})
            assert (team("red"), team("blue")) == (["b"], ["a", "c"])
            server.remove_map("b")
            await watched.until(lambda: "b" not in watched.names())
            assert (team("red"), team("blue")) == ([], ["a", "c"])

    run(main)


def test_equal_labels_are_kept_once(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        for name in "ab":
            server.put_map(name)
            server.maps()[name]["metadata"]["labels"] = {"app": "shop", "revision": "shop-1"}
        async with Watched(server) as watched:
            await watched.informer.synced()
            first, second = watched.informer.items()
            assert first.metadata.labels == {"app": "shop", "revision": "shop-1"}
            assert first.metadata.labels is second.metadata.labels

    run(main)


def test_what_is_shared_does_not_grow_with_changes() -> None:
    cache: ObjectCache[ConfigMap] = ObjectCache(None)
    for version in range(10_000):
        meta = Meta(name="a", namespace="ns", resource_version=str(version), annotations={"at": str(version)})
        cache.put("ns/a", ConfigMap(metadata=meta))
    assert len(cache._sharing._pairs) <= 1_100


def test_closing_ends_it_and_keeps_what_is_known(run: Run) -> None:
    async def main(server: ApiServer) -> None:
        server.put_map("a")
        async with Watched(server) as watched:
            await watched.informer.synced()
            await watched.informer.close()
            await watched.informer.close()
            server.put_map("b")
            assert watched.names() == {"a": {}}

    run(main)
