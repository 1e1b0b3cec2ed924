"""One process and its lease: taking, keeping and losing it, whatever the API server and the clocks do."""

from __future__ import annotations

import asyncio
import logging

import pytest

from dilu.errors import ConfigError
from dilu_autoscaler.knative.buckets.leases import BucketLeases
from dilu_kube.resources import LEASES
from knative.leases.electors import Elector
from knative.leases.lease_store import BUCKET, NAMESPACE, LeaseStore, Line, MemoryClient
from loops import now_s, run_virtually

STOCK = "autoscaler-5c6b_10.88.0.9"


async def until_s(time_s: float) -> None:
    await asyncio.sleep(time_s - now_s())


def test_a_lease_that_does_not_exist_is_created_at_once() -> None:
    async def main() -> None:
        store = LeaseStore()
        elector = Elector(store)
        await until_s(0.1)
        assert elector.holds()
        assert elector.changes == [(True, elector.identity)]
        assert store.lease()["holderIdentity"] == elector.identity
        assert store.lease()["leaseDurationSeconds"] == 15
        assert store.lease()["renewTime"].startswith("2026-")
        assert elector.leases.holder_ip(BUCKET) == "10.0.0.97"
        await elector.close()

    run_virtually(main)


def test_a_released_lease_is_taken_at_once() -> None:
    async def main() -> None:
        store = LeaseStore()
        store.put_lease("", duration_s=1, leaseTransitions=4)
        elector = Elector(store)
        await until_s(0.1)
        assert elector.holds()
        assert store.lease()["leaseTransitions"] == 5
        await elector.close()

    run_virtually(main)


@pytest.mark.parametrize("renewed", ["1970-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z", None])
def test_anothers_lease_is_taken_when_its_time_is_over_since_we_saw_it_and_not_before(renewed: str | None) -> None:
    async def main() -> None:
        store = LeaseStore()
        store.put_lease(STOCK, duration_s=60, renewTime=renewed)
        elector = Elector(store)
        await until_s(59.9)
        assert not elector.holds()
        assert store.writers() == []
        assert elector.leases.holder_ip(BUCKET) == "10.88.0.9"
        await until_s(60.1)
        assert elector.holds()
        assert elector.changes == [(False, STOCK), (True, elector.identity)]
        await elector.close()

    run_virtually(main)


def test_a_lease_that_is_renewed_is_never_touched() -> None:
    async def main() -> None:
        store = LeaseStore()
        elector = Elector(store)
        await until_s(0.05)
        await elector.close()
        store.put_lease(STOCK, duration_s=15)
        watcher = Elector(store, "b")
        for renewal in range(1, 20):
            await asyncio.sleep(10.0)
            store.put_lease(STOCK, duration_s=15, renewTime=f"2020-01-01T00:00:00.{renewal:06d}Z")
        assert "b" not in store.writers()
        assert watcher.changes == [(False, STOCK)]
        await watcher.close()

    run_virtually(main)


def test_keeping_a_lease_costs_one_patch_each_two_seconds_and_no_read() -> None:
    async def main() -> None:
        store = LeaseStore()
        elector = Elector(store)
        await until_s(0.1)
        acquired = store.lease()["acquireTime"]
        store.requests.clear()
        await until_s(60.0)
        assert set(store.verbs("a")) == {"patch"}
        assert 24 <= len(store.requests) <= 30
        assert store.lease()["acquireTime"] == acquired
        assert store.lease()["leaseTransitions"] == 0
        assert elector.changes == [(True, elector.identity)]
        assert elector.leases.report(BUCKET).renewals == len(store.requests) + 1
        await elector.close()

    run_virtually(main)


def test_what_others_wrote_on_our_lease_stays_and_costs_one_more_look() -> None:
    async def main() -> None:
        store = LeaseStore()
        elector = Elector(store)
        await until_s(0.1)
        store.stored(LEASES, BUCKET)["metadata"]["labels"] = {"team": "search"}
        store.put_lease(elector.identity, strategy="OldestEmulationVersion")
        store.stored(LEASES, BUCKET)["metadata"]["labels"] = {"team": "search"}
        store.requests.clear()
        await until_s(3.0)
        assert store.verbs("a") == ["patch", "get", "patch"]
        assert store.read(LEASES, BUCKET)["metadata"]["labels"] == {"team": "search"}
        assert store.lease()["strategy"] == "OldestEmulationVersion"
        assert elector.changes == [(True, elector.identity)]
        await elector.close()

    run_virtually(main)


def test_in_an_outage_it_holds_for_ten_seconds_from_when_its_last_renewal_was_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        store = LeaseStore()
        line = Line(there_s=lambda: 0.5, back_s=lambda: 0.5)
        elector = Elector(store, line=line)
        await until_s(1.9)
        assert not elector.holds()  # the read took a second; the creation was sent at 1.0 and is not answered yet
        await until_s(2.1)
        assert elector.holds()
        line.is_down = True
        await until_s(10.99)
        assert elector.holds()
        assert elector.leases.holder(BUCKET) == elector.identity
        await until_s(11.01)
        assert not elector.holds()
        assert elector.leases.holder_ip(BUCKET) is None  # the record still says us: no report may be sent to us
        await until_s(11.1)
        assert elector.changes == [(True, elector.identity), (False, "")]
        assert elector.told[-1][0] == pytest.approx(11.0, abs=0.01)
        line.is_down = False
        await until_s(16.0)
        assert elector.changes[2:] == [(True, elector.identity)]
        report = elector.leases.report(BUCKET)
        assert (report.taken, report.lost, report.last_holder) == (2, 1, elector.identity)
        assert report.failures >= 4
        await elector.close()

    with caplog.at_level(logging.INFO):
        run_virtually(main)
    assert sum("retrying" in record.message for record in caplog.records) == 1
    assert sum("answers again" in record.message for record in caplog.records) == 1


def test_an_answer_that_never_comes_leaves_time_for_another_attempt() -> None:
    async def main() -> None:
        store = LeaseStore()
        answers = iter([0.0, 0.0, None])  # the read, the creation; then one renewal without an answer
        elector = Elector(store, line=Line(back_s=lambda: next(answers, 0.0)))
        await until_s(60.0)
        assert elector.changes == [(True, elector.identity)]
        assert elector.leases.report(BUCKET).failures == 1
        await elector.close()

    run_virtually(main)


def test_an_answer_that_comes_too_late_makes_no_holder() -> None:
    """A stopped process cannot give up on its request; when it continues, the answer is there."""

    async def main() -> None:
        store = LeaseStore()
        clock_s = [0.0]
        elector = Elector(store, clock_s=lambda: clock_s[0])

        def frozen(by: str) -> None:
            clock_s[0] += 40.0

        store.on_write = frozen
        await until_s(0.1)
        assert store.lease()["holderIdentity"] == elector.identity
        assert not elector.holds()
        assert elector.changes == []
        store.on_write = lambda by: None
        await until_s(3.0)
        assert elector.changes == [(True, elector.identity)]
        await elector.close()

    run_virtually(main)


def test_a_process_that_was_frozen_looks_before_it_writes_and_stays_a_candidate() -> None:
    async def main() -> None:
        store = LeaseStore()
        skipped_s = [0.0]
        elector = Elector(store, clock_s=lambda: skipped_s[0] + now_s())
        await until_s(1.0)
        assert elector.holds()
        store.put_lease(STOCK, duration_s=15)
        store.requests.clear()
        skipped_s[0] = 40.0  # only clocks that run while the machine is suspended have noticed
        assert not elector.holds()
        await until_s(5.0)
        assert set(store.verbs("a")) == {"get"}
        assert elector.changes == [(True, elector.identity), (False, ""), (False, STOCK)]
        await until_s(20.0)
        assert elector.holds()
        assert elector.changes[3:] == [(True, elector.identity)]
        await elector.close()

    run_virtually(main)


def test_a_lease_lost_and_taken_again_between_two_looks_is_told_as_both() -> None:
    async def main() -> None:
        store = LeaseStore()
        elector = Elector(store)
        await until_s(1.0)
        store.put_lease("")
        await until_s(5.0)
        assert elector.changes == [(True, elector.identity), (False, ""), (True, elector.identity)]
        report = elector.leases.report(BUCKET)
        assert (report.taken, report.lost) == (2, 1)
        await elector.close()

    run_virtually(main)


def test_a_lease_taken_by_force_is_given_up() -> None:
    async def main() -> None:
        store = LeaseStore()
        elector = Elector(store)
        await until_s(1.0)
        store.put_lease(STOCK)
        await until_s(3.5)
        assert not elector.holds()
        assert elector.changes == [(True, elector.identity), (False, STOCK)]
        assert store.lease()["holderIdentity"] == STOCK
        await elector.close()

    run_virtually(main)


def test_a_deleted_lease_is_put_back_by_its_holder_and_left_alone_by_others() -> None:
    async def main() -> None:
        store = LeaseStore()
        holder = Elector(store)
        await until_s(0.1)
        other = Elector(store, "b", seed=1)
        await until_s(5.0)
        for _ in range(5):
            store.delete(LEASES, BUCKET)
            await asyncio.sleep(3.0)
            assert store.lease()["holderIdentity"] == holder.identity
        assert not other.holds()
        assert "b" not in store.writers()
        await holder.close()
        await other.close()

    run_virtually(main)


def test_who_only_watches_writes_nothing_and_knows_the_holder() -> None:
    async def main() -> None:
        store = LeaseStore()
        elector = Elector(store, takes=False)
        await until_s(5.0)
        assert elector.changes == []
        store.put_lease(STOCK, duration_s=1)
        await until_s(10.0)
        assert elector.leases.holder_ip(BUCKET) == "10.88.0.9"
        store.put_lease("")
        await until_s(15.0)
        assert elector.changes == [(False, STOCK), (False, "")]
        assert elector.leases.holder_ip(BUCKET) is None
        await elector.close()
        assert store.writers() == []
        assert len(store.requests) <= 9

    run_virtually(main)


def test_closing_releases_what_is_held() -> None:
    async def main() -> None:
        store = LeaseStore()
        elector = Elector(store)
        await until_s(7.0)
        await elector.close()
        assert not elector.holds()
        assert elector.changes == [(True, elector.identity), (False, "")]
        assert elector.leases.report(BUCKET).lost == 0
        assert store.lease()["holderIdentity"] == ""
        assert store.lease()["leaseDurationSeconds"] == 1
        await elector.close()
        assert elector.changes == [(True, elector.identity), (False, "")]

    run_virtually(main)


def test_closing_waits_for_a_lease_that_is_being_taken_and_releases_it() -> None:
    async def main() -> None:
        store = LeaseStore()
        elector = Elector(store, line=Line(there_s=lambda: 0.4, back_s=lambda: 0.4))
        await until_s(1.0)  # looked, and the creation is on its way
        await elector.close()
        assert store.lease()["holderIdentity"] == ""

    run_virtually(main)


def test_closing_leaves_anothers_lease_alone() -> None:
    async def main() -> None:
        store = LeaseStore()
        elector = Elector(store)
        await until_s(1.0)
        store.put_lease(STOCK)
        await elector.close()
        assert store.lease()["holderIdentity"] == STOCK

    run_virtually(main)


def test_closing_without_a_release_leaves_the_lease_to_run_out() -> None:
    async def main() -> None:
        store = LeaseStore()
        elector = Elector(store)
        await until_s(1.0)
        await elector.leases.close(release=False)
        assert not elector.holds()
        assert store.lease()["holderIdentity"] == elector.identity

    run_virtually(main)


def test_closing_ends_also_where_the_server_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        store = LeaseStore()
        line = Line()
        elector = Elector(store, line=line)
        await until_s(1.0)
        line.there_s = lambda: None
        await until_s(3.0)
        await elector.close()
        assert now_s() < 14.0
        assert not elector.holds()

    run_virtually(main)
    assert "not released" in caplog.text


def test_the_time_of_day_changes_nothing_but_what_people_read() -> None:
    async def main() -> None:
        store = LeaseStore()
        times_s = iter([1e9, 2e9, 0.0, 0.0, 0.0, 0.0, 1e9, 1e9] + [5e8] * 100)
        holder = Elector(store, wall_s=lambda: next(times_s))
        await until_s(0.1)
        other = Elector(store, "b", wall_s=lambda: 4e9)
        await until_s(60.0)
        assert holder.changes == [(True, holder.identity)]
        assert other.changes == [(False, holder.identity)]
        await holder.close()
        await other.close()

    run_virtually(main)


def test_each_bucket_has_a_lease_of_its_own() -> None:
    async def main() -> None:
        store = LeaseStore()
        names = [f"autoscaler-bucket-{number:02d}-of-03" for number in range(3)]
        store.put_lease(STOCK, name=names[1])
        elector = Elector(store, buckets=names)
        await until_s(1.0)
        assert [elector.leases.holds(name) for name in names] == [True, False, True]
        assert [elector.leases.holder_ip(name) for name in names] == ["10.0.0.97", "10.88.0.9", "10.0.0.97"]
        assert not elector.leases.holds("another")
        assert elector.leases.holder_ip("another") is None
        await elector.close()
        assert [store.lease(name)["holderIdentity"] for name in names] == ["", STOCK, ""]

    run_virtually(main)


def test_a_handler_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        store = LeaseStore()
        elector = Elector(store)

        def broken(bucket: str, holds_it: bool, holder: str) -> None:
            raise RuntimeError("a handler's own mistake")

        elector.leases.on_change(broken)
        later: list[bool] = []
        elector.leases.on_change(lambda bucket, holds_it, holder: later.append(holds_it))
        await until_s(30.0)
        assert elector.holds()
        assert later == [True]
        await elector.close()

    run_virtually(main)
    assert "a handler's own mistake" in caplog.text


def test_an_error_of_no_known_kind_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        store = LeaseStore()

        def broken(by: str) -> None:
            store.on_write = lambda by: None
            raise RuntimeError("unexpected")

        store.on_write = broken
        elector = Elector(store)
        await until_s(5.0)
        assert elector.holds()
        assert elector.leases.report(BUCKET).failures == 1
        await elector.close()

    run_virtually(main)
    assert "unexpected" in caplog.text


@pytest.mark.parametrize("identity", ["a-pod", "a-pod_", ""])
def test_an_identity_without_an_address_is_refused(identity: str) -> None:
    with pytest.raises(ConfigError, match="POD_NAME_POD_IP"):
        BucketLeases(MemoryClient(LeaseStore(), "a"), namespace=NAMESPACE, identity=identity, buckets=[BUCKET])
