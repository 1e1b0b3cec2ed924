"""Rounds of questions to the queue-proxies of a revision, over real connections."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

from dilu.http.client.gets import GetClient
from dilu_autoscaler.knative.reports.sampling import Load, Targets, load_of, targets_of
from dilu_autoscaler.knative.reports.stats import Stat
from dilu_autoscaler.knative.scraping.scraper import Scraped, ScrapeProblem, Scraper, ScrapeTarget
from knative.queue_proxies import Answers, Pods, always, answer, pods, report
from loops import run, until

# "localhost" as a Service's name, and no namespace, so that the name leads to the pods of the test.
TARGET = ScrapeTarget(namespace="", revision="rev", service="localhost")
MESH = answer(b"no route", status=503)


async def scraped(scraper: Scraper, targets: Targets) -> Scraped:
    result: asyncio.Future[Scraped] = asyncio.get_running_loop().create_future()
    assert scraper.scrape(targets, 60.0, result.set_result)
    return await result


def addresses(count: int) -> tuple[str, ...]:
    return tuple(f"127.0.0.{last}" for last in range(1, count + 1))


def one_round(
    target: ScrapeTarget, targets: Targets, answers: Answers, *, up: int | None = None
) -> tuple[Scraped, Pods]:
    """Return the result of a round, while a number of the addresses are served."""
    found: list[tuple[Scraped, Pods]] = []

    async def main() -> None:
        async with pods(answers, *addresses(targets.count if up is None else up)) as seen:
            client = GetClient()
            scraper = Scraper(replace(target, port=seen.port), client, random.Random(1))
            found.append((await scraped(scraper, targets), seen))
            assert not scraper.is_busy
            await client.close()

    run(main)
    return found[0]


def test_three_pods_are_all_asked_and_added_up() -> None:
    result, seen = one_round(
        TARGET,
        Targets(old=addresses(3)),
        lambda at, _: report(at, concurrency=float(at[-1]), proxied=0.5, requests=2.0),
    )
    assert result == Scraped(load=Load(concurrency=4.5, rps=6.0))
    assert len(seen.requests) == 3
    head = seen.requests[0][1]
    assert head.startswith("GET /metrics HTTP/1.1\r\n")
    assert "\r\nAccept: application/protobuf\r\n" in head
    assert f"\r\nHost: {seen.requests[0][0]}:{seen.port}\r\n" in head


def test_some_of_many_pods_stand_for_all_and_old_ones_come_first() -> None:
    everyone = addresses(10)
    targets = Targets(old=everyone[:7], young=everyone[7:])
    result, seen = one_round(TARGET, targets, lambda at, _: report(at, concurrency=2.0))
    assert result == Scraped(load=Load(concurrency=20.0, rps=0.0))
    assert {at for at, _ in seen.requests} == set(everyone[:7])


def test_for_each_pod_that_fails_the_next_one_is_asked() -> None:
    everyone = addresses(5)
    result, seen = one_round(
        TARGET,
        Targets(old=everyone),
        lambda at, _: answer(status=500) if at == everyone[0] else report(at, concurrency=1.0),
    )
    assert result == Scraped(load=Load(concurrency=5.0, rps=0.0))
    assert len(seen.requests) in (4, 5)


def test_too_few_answers_are_an_error_and_no_load() -> None:
    result, _ = one_round(TARGET, Targets(old=addresses(3)), lambda at, _: report(at), up=2)
    assert result.load is None
    assert result.error is not None
    assert "2 of 3 pods could be scraped" in result.error


def test_an_answer_of_another_kind_is_an_error() -> None:
    for wrong, why in [
        (answer(b"", content_type="text/html"), "content type 'text/html'"),
        (answer(b"\xff\xff", content_type="application/protobuf"), "not a valid report"),
        (answer(b"", status=404), "status 404"),
    ]:
        result, _ = one_round(TARGET, Targets(old=addresses(1)), always(wrong))
        assert result.error is not None
        assert why in result.error


def test_pods_without_load_are_zeros_and_no_pods_are_nothing() -> None:
    assert one_round(TARGET, Targets(old=addresses(1)), lambda at, _: report(at))[0] == Scraped(
        load=Load(concurrency=0.0, rps=0.0)
    )
    assert one_round(TARGET, Targets(), lambda at, _: report(at), up=1)[0] == Scraped()


def test_through_a_mesh_pods_are_addressed_by_the_service() -> None:
    target = replace(TARGET, namespace="ns", service="rev-private", mesh_pod_addressability=True)
    result, seen = one_round(target, Targets(old=addresses(1)), lambda at, _: report(at))
    assert result.error is None
    head = seen.requests[0][1]
    assert "\r\nHost: rev-private.ns\r\n" in head
    assert "\r\nKnative-Direct-Lb: true\r\n" in head


class LocalService(ScrapeTarget):
    """A target whose Service is at the pods' own address."""

    @property
    def host(self) -> str:
        return "127.0.0.1"


def local(mesh_mode: str, *, addressable: bool = False) -> LocalService:
    return LocalService(
        namespace="ns", revision="rev", service="s", mesh_mode=mesh_mode, mesh_pod_addressability=addressable
    )


def by_service(head: str) -> bool:
    return "\r\nConnection: close\r\n" in head


def test_pods_behind_a_mesh_are_asked_by_their_service_from_then_on() -> None:
    async def main() -> None:
        async with pods(lambda at, before: MESH if before == 0 else report(at), "127.0.0.1") as seen:
            client = GetClient()
            scraper = Scraper(replace(local("auto"), port=seen.port), client, random.Random(1))
            for _ in range(2):
                assert (await scraped(scraper, Targets(old=("127.0.0.1",)))).load == Load(concurrency=0.0, rps=0.0)
            assert [by_service(head) for _, head in seen.requests] == [False, True, True]
            await client.close()

    run(main)


def test_only_the_mode_auto_changes_over_to_the_service() -> None:
    for target in (local("disabled"), local("auto", addressable=True)):
        result, seen = one_round(target, Targets(old=addresses(1)), lambda _, __: MESH)
        assert result.error is not None
        assert [by_service(head) for _, head in seen.requests] == [False]
    result, seen = one_round(local("auto"), Targets(old=addresses(2)), lambda _, __: MESH, up=1)
    assert result.error is not None  # no server at the second address: that is no mesh
    assert not any(by_service(head) for _, head in seen.requests)


def test_with_one_pod_that_answers_it_is_no_mesh_and_the_service_is_left_alone() -> None:
    result, seen = one_round(
        local("auto"), Targets(old=addresses(3)), lambda at, _: report(at) if at == "127.0.0.1" else MESH
    )
    assert result.error is not None
    assert not result.might_be_mesh
    assert not any(by_service(head) for _, head in seen.requests)


def test_the_service_is_asked_until_enough_pods_were_met() -> None:
    def answers(_: str, before: int) -> bytes:
        return report(f"pod-{before // 2}", concurrency=1.0, uptime_s=100.0)

    result, seen = one_round(local("enabled"), Targets(old=("a", "b", "c")), answers, up=1)
    assert result == Scraped(load=Load(concurrency=3.0, rps=0.0))
    assert all(by_service(head) for _, head in seen.requests)
    assert len(seen.requests) in (5, 6)


def test_a_pod_that_is_up_for_exactly_a_stable_window_is_old_for_the_service_too() -> None:
    def answers(_: str, before: int) -> bytes:
        return report(f"pod-{before}", concurrency=1.0, uptime_s=60.0)

    result, seen = one_round(local("enabled"), Targets(old=("a", "b", "c")), answers, up=1)
    assert result == Scraped(load=Load(concurrency=3.0, rps=0.0))
    assert len(seen.requests) == 3  # a young pod would have made its chain go on


def test_young_pods_fill_up_where_the_service_has_no_old_ones() -> None:
    def answers(_: str, before: int) -> bytes:
        return report(f"pod-{before % 3}", concurrency=1.0, uptime_s=5.0)

    result, seen = one_round(local("enabled"), Targets(young=("a", "b", "c")), answers, up=1)
    assert result == Scraped(load=Load(concurrency=3.0, rps=0.0))
    assert len(seen.requests) <= 30


def test_a_service_that_always_fails_is_given_up_after_ten_tries() -> None:
    result, seen = one_round(local("enabled"), Targets(old=("a",)), lambda _, __: answer(status=500), up=1)
    assert result.error is not None
    assert "status 500" in result.error
    assert result.problem is ScrapeProblem.FAILED
    assert len(seen.requests) == 10


def test_a_service_that_leads_to_one_pod_only_says_too_little() -> None:
    result, _ = one_round(local("enabled"), Targets(old=("a", "b")), lambda _, __: report("same"), up=1)
    assert result.error is not None
    assert "1 of 2 pods" in result.error
    assert result.problem is ScrapeProblem.NO_STAT


def test_no_round_begins_while_another_is_under_way() -> None:
    async def main() -> None:
        async with pods(lambda _, __: None, "127.0.0.1") as seen:
            client = GetClient()
            scraper = Scraper(replace(TARGET, port=seen.port), client, random.Random(1))
            results: list[Scraped] = []
            assert scraper.scrape(Targets(old=("127.0.0.1",)), 60.0, results.append)
            await seen.asked.wait()
            assert not scraper.scrape(Targets(old=("127.0.0.1",)), 60.0, results.append)
            await client.close()
            await until(lambda: len(results) == 1)
            assert results[0].error is not None

    run(main)


def test_pods_are_old_from_a_stable_window_on() -> None:
    up_since = [("a", 40.0), ("b", 40.1), ("c", 0.0)]
    assert targets_of(up_since, stable_window_s=60.0, now_s=100.0) == Targets(old=("a", "c"), young=("b",))


def test_loads_are_rounded_as_by_knative() -> None:
    one = Stat(
        key="ns/rev",
        pod="pod",
        concurrency=0.3,
        proxied_concurrency=0.1,
        requests=0.0,
        proxied_requests=0.0,
        uptime_s=0.0,
        time_s=0,
    )
    # Each sum over the pods asked, times all pods, and only then the difference: else it is 1.4000000000000001.
    assert load_of([one] * 3, 7) == Load(concurrency=1.4, rps=0.0)
