"""Each revision's pods are asked once in each second; what is forgotten meanwhile is not recorded."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from dilu.http.addresses import Address
from dilu.http.client.gets import GetClient, GetFailed, GetResponse, OnGetResult
from dilu_autoscaler.knative.reports.sampling import Targets
from dilu_autoscaler.knative.scraping import scrape_schedule
from dilu_autoscaler.knative.scraping.scrape_schedule import SLOTS, ScrapeSchedule
from dilu_autoscaler.knative.scraping.scraper import Scraped, ScrapeTarget
from knative.queue_proxies import always, pods, report
from loops import Run, until

TARGET = ScrapeTarget(namespace="ns", revision="rev", service="rev-private")
KEY = TARGET.key


class Watch:
    """A schedule with what it did; `pods_of` says whom to ask."""

    def __init__(self, client: GetClient, addresses: tuple[str, ...]) -> None:
        self.results: list[tuple[str, Scraped, float]] = []
        self.runtimes: list[str] = []
        self.broken: set[str] = set()
        self.addresses = addresses
        self.schedule = ScrapeSchedule(
            client,
            targets=self.targets,
            on_scraped=lambda key, result, when_s: self.results.append((key, result, when_s)),
            scrape_runtime=self.runtimes.append,
            randomness=random.Random(1),
        )

    def targets(self, key: str, stable_window_s: float, now_s: float) -> Targets:
        if key in self.broken:
            raise ValueError("no such time")
        return Targets(old=self.addresses)


@asynccontextmanager
async def scheduled(*addresses: str) -> AsyncIterator[Watch]:
    client = GetClient()
    watch = Watch(client, addresses)
    running = asyncio.create_task(watch.schedule.run())
    try:
        yield watch
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await client.close()


def test_each_second_brings_one_report_of_each_revision(run: Run) -> None:
    async def main() -> None:
        async with pods(always(report("pod", concurrency=2.0)), "127.0.0.2") as there, scheduled("127.0.0.2") as watch:
            names = [f"rev-{number}" for number in range(8)]
            for name in names:
                watch.schedule.scrape(replace(TARGET, revision=name, port=there.port), 60.0)
            assert len(watch.schedule) == 8
            await until(lambda: len(watch.results) >= 24)
        by_key = {name: [when for key, _, when in watch.results if key == f"ns/{name}"] for name in names}
        seconds = {name: [int(when) for when in times] for name, times in by_key.items()}
        assert all(sorted(set(times)) == times for times in seconds.values()), seconds
        assert all(len(times) in (2, 3, 4) for times in seconds.values()), seconds
        # Each at its own moment, of which none is in the last quarter: the answer must come within the second.
        assert all(when % 1.0 < 0.9 for times in by_key.values() for when in times)
        assert watch.results[0][1].load is not None
        assert watch.runtimes == []

    run(main)


def test_who_is_forgotten_while_it_is_asked_is_not_recorded(run: Run) -> None:
    async def main() -> None:
        held = asyncio.Event()

        def answers(address: str, before: int) -> bytes | None:
            held.set()
            return None  # until the client gives up

        async with pods(answers, "127.0.0.2") as there:
            client = GetClient(timeout_s=0.5)
            watch = Watch(client, ("127.0.0.2",))
            running = asyncio.create_task(watch.schedule.run())
            watch.schedule.scrape(replace(TARGET, port=there.port), 60.0)
            await held.wait()
            watch.schedule.forget(KEY)
            watch.schedule.forget(KEY)
            await asyncio.sleep(0.6)
            assert watch.results == []
            assert (len(watch.schedule), watch.schedule.failure(KEY), watch.schedule.failures(KEY)) == (0, None, 0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await client.close()

    run(main)


def test_a_new_target_makes_the_old_one_s_answer_worthless(run: Run) -> None:
    async def main() -> None:
        watch = Watch(_Held(), ())
        watch.addresses = ("127.0.0.2",)
        held = watch.schedule._client
        assert isinstance(held, _Held)
        watch.schedule.scrape(TARGET, 60.0)
        _ask_now(watch.schedule)
        watch.schedule.scrape(replace(TARGET, service="rev-other"), 60.0)
        held.answer()
        assert watch.results == []
        _ask_now(watch.schedule)
        watch.schedule.scrape(replace(TARGET, service="rev-other"), 120.0)  # only the window is another
        held.answer()
        assert [result.load is not None for _, result, _ in watch.results] == [True]
        await held.close()

    run(main)


def test_a_round_that_is_not_over_lets_the_next_one_pass(run: Run) -> None:
    async def main() -> None:
        watch = Watch(_Held(), ("127.0.0.2",))
        held = watch.schedule._client
        assert isinstance(held, _Held)
        watch.schedule.scrape(TARGET, 60.0)
        _ask_now(watch.schedule)
        _ask_now(watch.schedule)
        assert (len(held.waiting), watch.schedule.counts.skipped) == (1, 1)
        held.answer()
        _ask_now(watch.schedule)
        assert len(held.waiting) == 1
        await held.close()

    run(main)


def test_what_fails_is_said_once_and_known_until_it_works_again(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        watch = Watch(_Held(), ("127.0.0.2",))
        held, schedule = watch.schedule._client, watch.schedule
        assert isinstance(held, _Held)
        schedule.scrape(TARGET, 60.0)
        for _ in range(3):
            _ask_now(schedule)
            held.fail()
        assert schedule.failures(KEY) == 3
        failure = schedule.failure(KEY)
        assert failure is not None
        assert "0 of 1 pods could be scraped" in str(failure.error)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        schedule.scrape(TARGET, 60.0)
        assert schedule.failures(KEY) == 3
        _ask_now(schedule)
        held.answer()
        assert schedule.failure(KEY) is None
        assert (schedule.counts.rounds, schedule.counts.failed) == (4, 3)
        await held.close()

    with caplog.at_level(logging.WARNING):
        run(main)


def test_runtimes_are_asked_only_where_that_is_wished(run: Run) -> None:
    async def main() -> None:
        watch = Watch(_Held(), ("127.0.0.2",))
        held = watch.schedule._client
        assert isinstance(held, _Held)
        watch.schedule.scrape(TARGET, 60.0, scrapes_queue_proxies=False, scrapes_runtime=True)
        _ask_now(watch.schedule)
        assert (watch.runtimes, len(held.waiting)) == ([KEY], 0)
        watch.schedule.scrape(TARGET, 60.0, scrapes_runtime=True)
        _ask_now(watch.schedule)
        assert (watch.runtimes, len(held.waiting)) == ([KEY, KEY], 1)
        await held.close()

    run(main)


def test_one_revision_that_cannot_be_asked_does_not_stop_the_others(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        watch = Watch(_Held(), ("127.0.0.2",))
        held = watch.schedule._client
        assert isinstance(held, _Held)
        other = replace(TARGET, revision="other")
        watch.broken.add(KEY)
        for target in (TARGET, other):
            watch.schedule.scrape(target, 60.0)
        _ask_now(watch.schedule)
        assert len(held.waiting) == 1
        assert "ns/rev: its pods could not be scraped" in caplog.text
        await held.close()

    run(main)


def test_after_a_pause_of_the_process_each_revision_is_asked_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        asked = await _asked_during(monkeypatch, [100.0, 140.5])
        assert sorted(asked) == [0, 1, 2, 3]  # once each, though forty seconds have passed

    run(main)


def test_a_clock_that_goes_back_does_not_stop_the_asking(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        asked = await _asked_during(monkeypatch, [10_000.0, *[100.0 + number / SLOTS for number in range(SLOTS)]])
        assert sorted(asked) == [0, 1, 2, 3]

    run(main)


async def _asked_during(monkeypatch: pytest.MonkeyPatch, times: list[float]) -> list[int]:
    """Which of four revisions were asked while the clock showed these times, one after the other."""
    watch = Watch(_Held(), ())
    asked: list[int] = []
    for number in range(4):
        watch.schedule.scrape(
            replace(TARGET, revision=f"rev-{number}"), 60.0, scrapes_queue_proxies=False, scrapes_runtime=True
        )
    watch.schedule._scrape_runtime = lambda key: asked.append(int(key[-1]))
    clock = _Clock(times)
    monkeypatch.setattr(scrape_schedule, "time", clock)
    monkeypatch.setattr(scrape_schedule, "asyncio", clock)
    with pytest.raises(_OverError):
        await watch.schedule.run()
    await watch.schedule._client.close()
    return asked


class _OverError(Exception):
    """The clock has shown all its times."""


class _Clock:
    """In the place of `time` and of `asyncio`: each sleep ends at the next of its times."""

    def __init__(self, times: list[float]) -> None:
        self._now_s, *self._ahead = times

    def time(self) -> float:
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        assert 0.0 <= seconds <= 1.0
        if not self._ahead:
            raise _OverError
        self._now_s = self._ahead.pop(0)


def _ask_now(schedule: ScrapeSchedule) -> None:
    """All slots, as a second does."""
    for slot in schedule._slots:
        schedule._scrape_all(slot)


class _Held(GetClient):
    """Answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[OnGetResult] = []

    def get(self, address: Address, request: bytes, on_result: OnGetResult, *, keep_alive: bool = True) -> None:
        self.waiting.append(on_result)

    def answer(self) -> None:
        body = report("pod", concurrency=1.0).partition(b"\r\n\r\n")[2]
        self.waiting.pop()(GetResponse(status=200, content_type="application/protobuf", body=body))

    def fail(self) -> None:
        self.waiting.pop()(GetFailed(reason="closed"))
