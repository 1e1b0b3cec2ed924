"""A report goes to the collector where its bucket is ours, else to its holder; in an outage to who had it last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
import pytest

from dilu_autoscaler.knative.configuration.process_settings import Mode, ProcessSettings
from dilu_autoscaler.knative.reports import forwarding
from dilu_autoscaler.knative.reports.stat_server import StatServer
from dilu_autoscaler.knative.reports.stat_traffic import StatTraffic
from dilu_autoscaler.knative.reports.stats import Stat
from knative.process.knative_around import BUCKET, frame
from loops import Run, until

SETTINGS = ProcessSettings(pod_name="pod", pod_ip="127.0.0.1", host="127.0.0.1", stat_port=0)


class Holders:
    """Who holds the buckets, as the test says."""

    def __init__(self, *, ours: bool = False, ip: str | None = None) -> None:
        self.ours = ours
        self.ip = ip

    def holds(self, bucket: str) -> bool:
        return self.ours

    def holder_ip(self, bucket: str) -> str | None:
        return SETTINGS.pod_ip if self.ours else self.ip


class Sender:
    """An activator's end, and the traffic that it talks to."""

    def __init__(self, traffic: StatTraffic, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.traffic = traffic
        self.accepted: list[Stat] = []
        self._ws = ws

    async def send(self, revision: str = "rev") -> None:
        before = self.traffic.server.counts.stats
        await self._ws.send_bytes(frame(revision))
        await until(lambda: self.traffic.server.counts.stats > before)

    async def receive(self) -> aiohttp.WSMessage:
        return await self._ws.receive()


@asynccontextmanager
async def sending(
    mode: Mode = Mode.REPLACE, host: str = "autoscaler.knative-serving.svc.cluster.local:8080"
) -> AsyncIterator[Sender]:
    traffic = StatTraffic(
        ProcessSettings(pod_name="pod", pod_ip="127.0.0.1", host="127.0.0.1", stat_port=0, mode=mode), lambda: 1000.0
    )
    port = await traffic.start()
    try:
        url, headers = f"ws://127.0.0.1:{port}/", {"Host": host}
        async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as ws:
            yield Sender(traffic, ws)
    finally:
        await traffic.stop()


@asynccontextmanager
async def holder(monkeypatch: pytest.MonkeyPatch, taken: list[Stat]) -> AsyncIterator[None]:
    """The process that holds the bucket; whatever its address, it is reached here."""

    def take(stats: Sequence[Stat]) -> None:
        taken.extend(stats)

    server = StatServer(take, owns=lambda _: True, now_s=lambda: 1000.0)
    port = await server.start("127.0.0.1", 0)
    urls = (f"ws://127.0.0.1:{port}/",)
    monkeypatch.setattr("dilu_autoscaler.knative.reports.stat_traffic.holder_urls", lambda bucket, **where: urls)
    try:
        yield
    finally:
        await server.stop()


def test_reports_of_our_bucket_are_accepted(run: Run) -> None:
    async def main() -> None:
        async with sending() as sender:
            sender.traffic.route((BUCKET,), Holders(ours=True), sender.accepted.append)
            await sender.send()
            assert [stat.key for stat in sender.accepted] == ["ns/rev"]
            assert sender.accepted[0].time_s == 1000
            assert (sender.traffic.forwarded, sender.traffic.queued, sender.traffic.early) == (0, 0, 0)

    run(main)


def test_what_comes_before_the_buckets_are_known_is_counted(run: Run) -> None:
    async def main() -> None:
        async with sending() as sender:
            await sender.send()
            assert sender.traffic.early == 1

    run(main)


def test_reports_of_another_s_bucket_are_sent_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        taken: list[Stat] = []
        async with holder(monkeypatch, taken), sending() as sender:
            sender.traffic.route((BUCKET,), Holders(ip="127.0.0.2"), sender.accepted.append)
            await sender.send()
            await until(lambda: [stat.key for stat in taken] == ["ns/rev"])
            await until(lambda: sender.traffic.forwarded == 1)
            assert sender.accepted == []

    run(main)


@pytest.mark.parametrize("host", ["10.0.0.7:8080", "[fd00::7]:8080"])
def test_what_a_peer_passed_on_is_not_passed_on_again(run: Run, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """For a moment each of two may take the other for the holder: a report would go back and forth forever."""

    async def main() -> None:
        taken: list[Stat] = []
        async with holder(monkeypatch, taken), sending(host=host) as sender:
            holders = Holders(ip="127.0.0.2")
            sender.traffic.route((BUCKET,), holders, sender.accepted.append)
            await sender.send()
            assert (sender.traffic.astray, sender.traffic.queued, sender.traffic.forwarded) == (1, 0, 0)
            holders.ours = True
            await sender.send()
            assert [stat.key for stat in sender.accepted] == ["ns/rev"]
            assert taken == []

    run(main)


def test_reports_of_a_bucket_without_a_holder_wait_for_its_holder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        taken: list[Stat] = []
        async with sending() as sender:
            holders = Holders()
            sender.traffic.route((BUCKET,), holders, sender.accepted.append)
            await sender.send()
            await sender.send()
            assert (sender.traffic.queued, sender.accepted) == (2, [])
            async with holder(monkeypatch, taken):
                holders.ip = "127.0.0.2"
                sender.traffic.holder_changed(BUCKET)
                await until(lambda: len(taken) == 2)
                await until(lambda: sender.traffic.queued == 0)

    run(main)


def test_reports_of_a_bucket_that_becomes_ours_are_not_sent_on_but_taken_once(run: Run) -> None:
    async def main() -> None:
        async with sending() as sender:
            holders = Holders()
            sender.traffic.route((BUCKET,), holders, sender.accepted.append)
            await sender.send("rev")
            await sender.send("other")
            await sender.send("rev")
            assert sender.traffic.take_waiting("ns/rev") == ()  # a holder may yet come
            holders.ours = True
            sender.traffic.holder_changed(BUCKET)
            assert sender.traffic.queued == 0
            assert [stat.key for stat in sender.traffic.take_waiting("ns/rev")] == ["ns/rev"] * 2
            assert sender.traffic.take_waiting("ns/rev") == ()
            holders.ours, holders.ip = False, "127.0.0.2"
            sender.traffic.holder_changed(BUCKET)
            assert sender.traffic.take_waiting("ns/other") == ()  # another's by now
            assert (sender.accepted, sender.traffic.lost) == ([], 0)

    run(main)


def test_while_our_lease_cannot_be_renewed_and_no_other_took_it_the_reports_still_count(run: Run) -> None:
    async def main() -> None:
        async with sending() as sender:
            holders = Holders(ours=True)
            sender.traffic.route((BUCKET,), holders, sender.accepted.append)
            sender.traffic.holder_changed(BUCKET)
            holders.ours = False  # the API server is away
            sender.traffic.holder_changed(BUCKET)
            await sender.send()
            assert (len(sender.accepted), sender.traffic.queued) == (1, 0)
            holders.ip = "127.0.0.2"  # another has it now
            sender.traffic.holder_changed(BUCKET)
            await sender.send()
            assert (len(sender.accepted), sender.traffic.queued) == (1, 1)

    run(main)


def test_a_holder_with_our_own_address_is_not_connected_to(run: Run) -> None:
    """A moment before the lease is ours: a connection to ourselves would go in circles."""

    async def main() -> None:
        async with sending() as sender:
            sender.traffic.route((BUCKET,), Holders(ip=SETTINGS.pod_ip), sender.accepted.append)
            await sender.send()
            await asyncio.sleep(0.1)
            assert sender.traffic.server.clients == 1  # the sender alone
            assert sender.traffic.queued == 1

    run(main)


def test_what_a_peer_sent_on_to_us_by_mistake_is_not_sent_back(run: Run) -> None:
    """Each may take the other for the holder for a moment."""

    async def main() -> None:
        async with sending() as sender, aiohttp.ClientSession() as session:
            holders = Holders(ip="127.0.0.2")
            sender.traffic.route((BUCKET,), holders, sender.accepted.append)
            listening = sender.traffic.server._listening
            assert listening is not None
            url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
            async with session.ws_connect(url) as peer:
                await peer.send_bytes(frame())
                await until(lambda: sender.traffic.astray == 1)
                assert (sender.accepted, sender.traffic.queued) == ([], 0)
                holders.ours = True
                await peer.send_bytes(frame())
                await until(lambda: len(sender.accepted) == 1)

    run(main)


def test_who_only_observes_takes_all_reports_for_its_own(run: Run) -> None:
    async def main() -> None:
        async with sending(Mode.OBSERVE) as sender:
            sender.traffic.route((BUCKET,), Holders(ip="127.0.0.2"), sender.accepted.append)
            await sender.send()
            assert (len(sender.accepted), sender.traffic.queued) == (1, 0)

    run(main)


def test_connections_to_a_bucket_s_own_name_are_for_its_holder_only(run: Run) -> None:
    async def main() -> None:
        async with sending() as sender, aiohttp.ClientSession() as session:
            holders = Holders()
            sender.traffic.route((BUCKET,), holders, sender.accepted.append)
            listening = sender.traffic.server._listening
            assert listening is not None
            url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(url, headers={"Host": f"{BUCKET}.knative-serving.svc.cluster.local:8080"})
            holders.ours = True
            async with session.ws_connect(url, headers={"Host": f"{BUCKET}.knative-serving:8080"}):
                assert sender.traffic.server.clients == 2

    run(main)


def test_at_the_end_all_clients_are_told_to_connect_elsewhere(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(forwarding, "RETRY_S", 0.01)
        async with sending() as sender:
            sender.traffic.route((BUCKET,), Holders(), sender.accepted.append)
            await sender.send()
            stopping = asyncio.create_task(sender.traffic.stop())
            message = await sender.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
            await stopping
            assert (sender.traffic.lost, sender.traffic.queued) == (1, 0)

    run(main)


def test_a_port_that_is_taken_leaves_nothing_open(run: Run) -> None:
    async def main() -> None:
        async with sending() as sender:
            listening = sender.traffic.server._listening
            assert listening is not None
            port = listening.sockets[0].getsockname()[1]
            second = StatTraffic(
                ProcessSettings(pod_name="pod", pod_ip="127.0.0.1", host="127.0.0.1", stat_port=port), lambda: 1.0
            )
            with pytest.raises(OSError, match="address already in use"):
                await second.start()
            await second.stop()

    run(main)
