"""The rules alone: what is done about a lease, and what is written."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.errors import ConfigError
from dilu_autoscaler.knative.buckets.holder_identity import holder_ip
from dilu_autoscaler.knative.reconciling.conditions import time_s
from dilu_kube.lease_rules import (
    LeaseDurations,
    Seen,
    Step,
    decide,
    micro_time,
    see,
    spec_to_hold,
    spec_to_release,
)
from dilu_kube.objects import Lease, LeaseSpec, Meta

US, OTHER = "us_10.0.0.1", "other_10.0.0.2"
DURATIONS = LeaseDurations()
SEEN_S = 100.0


def lease(holder: str = OTHER, *, version: str = "7", duration_s: int = 15, transitions: int = 3) -> Lease:
    spec = LeaseSpec(
        holder_identity=holder,
        lease_duration_seconds=duration_s,
        acquire_time="2026-01-01T00:00:00.000000Z",
        renew_time="2026-01-01T00:00:09.000000Z",
        lease_transitions=transitions,
    )
    return Lease(metadata=Meta(name="b", resource_version=version), spec=spec)


def step(seen: Seen, *, after_s: float = 0.0, takes: bool = True) -> Step:
    return decide(seen, US, takes=takes, now_s=SEEN_S + after_s)


def first_look(found: Lease | None) -> Seen:
    return see(None, found, DURATIONS, SEEN_S)


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    found: Lease | None
    after_s: float = 0.0
    want: Step


CASES = [
    Case(name="there is none", found=None, want=Step.CREATE),
    Case(name="no holder", found=lease(""), want=Step.TAKE),
    Case(name="it was released with its second", found=lease("", duration_s=1), want=Step.TAKE),
    Case(name="another's, just seen", found=lease(), want=Step.WAIT),
    Case(name="another's, just before its end", found=lease(), after_s=14.999, want=Step.WAIT),
    Case(name="another's, at its end", found=lease(), after_s=15.0, want=Step.TAKE),
    Case(name="stock's, just before its end", found=lease(duration_s=60), after_s=59.9, want=Step.WAIT),
    Case(name="stock's, at its end", found=lease(duration_s=60), after_s=60.0, want=Step.TAKE),
    Case(name="another's for a second", found=lease(duration_s=1), after_s=1.0, want=Step.TAKE),
    Case(name="another's without a duration", found=lease(duration_s=0), after_s=14.9, want=Step.WAIT),
    Case(name="another's without a duration, later", found=lease(duration_s=0), after_s=15.0, want=Step.TAKE),
    Case(name="ours", found=lease(US), want=Step.RENEW),
    Case(name="ours, long ago", found=lease(US), after_s=1000.0, want=Step.RENEW),
    Case(name="a longer name than ours", found=lease(US + "0"), want=Step.WAIT),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_done_follows_from_the_record_and_its_age(case: Case) -> None:
    assert step(first_look(case.found), after_s=case.after_s) is case.want


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_who_only_watches_never_writes(case: Case) -> None:
    assert step(first_look(case.found), after_s=case.after_s, takes=False) is Step.WATCH


def test_another_look_at_the_same_record_gives_it_no_more_time() -> None:
    seen = see(first_look(lease()), lease(), DURATIONS, SEEN_S + 14.0)
    assert step(seen, after_s=14.9) is Step.WAIT
    assert step(seen, after_s=15.0) is Step.TAKE


def test_a_renewed_record_has_its_time_from_then_on() -> None:
    seen = see(first_look(lease()), lease(version="8"), DURATIONS, SEEN_S + 14.0)
    assert step(seen, after_s=28.9) is Step.WAIT
    assert step(seen, after_s=29.0) is Step.TAKE


def test_a_deleted_lease_is_its_holders_until_its_time_is_over() -> None:
    seen = first_look(lease())
    for look_s in (1.0, 2.0, 13.0):
        seen = see(seen, None, DURATIONS, SEEN_S + look_s)
    assert step(seen, after_s=14.9) is Step.WAIT
    assert step(seen, after_s=15.0) is Step.CREATE
    assert step(see(first_look(lease("")), None, DURATIONS, SEEN_S)) is Step.CREATE
    assert step(see(first_look(lease(US)), None, DURATIONS, SEEN_S)) is Step.CREATE


@given(
    looks=st.lists(
        st.tuples(
            st.floats(0, 30),
            st.sampled_from([None, *(lease(holder, version="") for holder in ("", US, OTHER, "third_1.1.1.1"))]),
            st.integers(1, 3),
        ),
        min_size=1,
    )
)
def test_no_sequence_of_looks_ever_shortens_the_time_of_another(looks: list[tuple[float, Lease | None, int]]) -> None:
    seen, now_s = None, 0.0
    first_seen_s: dict[str, float] = {}
    for after_s, kind, version in looks:
        now_s += after_s
        found = (
            None if kind is None else lease(kind.spec.holder_identity, version=f"{kind.spec.holder_identity}{version}")
        )
        seen = see(seen, found, DURATIONS, now_s)
        assert seen.lease == found
        took = decide(seen, US, takes=True, now_s=now_s)
        if found is None or not found.spec.holder_identity:
            first_seen_s.clear()
            continue
        record = found.metadata.resource_version
        since_s = first_seen_s.setdefault(record, now_s) if record in first_seen_s else now_s
        first_seen_s = {record: since_s}
        if found.spec.holder_identity != US:
            assert took is (Step.TAKE if now_s - since_s >= 15 else Step.WAIT)


def test_a_new_lease_has_what_client_go_writes() -> None:
    assert spec_to_hold(None, US, DURATIONS, wall_s=1.5) == {
        "holderIdentity": US,
        "leaseDurationSeconds": 15,
        "acquireTime": "1970-01-01T00:00:01.500000Z",
        "renewTime": "1970-01-01T00:00:01.500000Z",
        "leaseTransitions": 0,
    }


@pytest.mark.parametrize("holder", ["", OTHER], ids=["none", "another"])
def test_taking_is_a_transition(holder: str) -> None:
    spec = spec_to_hold(lease(holder), US, DURATIONS, wall_s=1.5)
    assert (spec["leaseTransitions"], spec["acquireTime"], spec["renewTime"]) == (
        4,
        "1970-01-01T00:00:01.500000Z",
        "1970-01-01T00:00:01.500000Z",
    )


def test_renewing_keeps_since_when_it_is_held() -> None:
    spec = spec_to_hold(lease(US, duration_s=60), US, DURATIONS, wall_s=1.5)
    assert spec == {
        "holderIdentity": US,
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": "1970-01-01T00:00:01.500000Z",
        "leaseTransitions": 3,
    }


def test_releasing_leaves_a_lease_without_a_holder_for_a_second() -> None:
    assert spec_to_release(lease(US), wall_s=1.5) == {
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "acquireTime": "1970-01-01T00:00:01.500000Z",
        "renewTime": "1970-01-01T00:00:01.500000Z",
        "leaseTransitions": 3,
    }


def test_a_renewal_differs_from_what_it_replaces_also_where_the_clock_shows_the_same_time_again() -> None:
    wall_s = time_s("2026-01-01T00:00:09Z")
    spec = spec_to_hold(lease(US), US, DURATIONS, wall_s=wall_s)
    assert spec["renewTime"] == "2026-01-01T00:00:09.000001Z"
    assert spec_to_release(lease(US), wall_s=wall_s)["renewTime"] == "2026-01-01T00:00:09.000001Z"


@given(st.integers(0, 7_000_000_000_000_000))
def test_times_are_written_to_the_microsecond(micros: int) -> None:
    text = micro_time(micros / 1_000_000)
    assert len(text) == len("2026-01-01T00:00:00.000000Z")
    assert time_s(text) == pytest.approx(micros / 1_000_000, abs=1e-4)


@pytest.mark.parametrize(
    ("holder", "ip"),
    [
        ("autoscaler-5c6b_10.0.0.7", "10.0.0.7"),
        ("autoscaler-5c6b_fd00::7", "fd00::7"),
        ("a_b_c", "b_c"),
        ("a-name-alone", None),
        ("a-name_", None),
        ("", None),
    ],
)
def test_the_address_is_what_follows_the_first_underscore(holder: str, ip: str | None) -> None:
    assert holder_ip(holder) == ip


@pytest.mark.parametrize(
    ("lease_s", "renew_s", "retry_s"), [(10, 10.0, 2.0), (15, 2.4, 2.0), (15, 10.0, 0.0), (15.5, 10.0, 2.0)]
)
def test_durations_that_would_allow_two_holders_are_refused(lease_s: float, renew_s: float, retry_s: float) -> None:
    with pytest.raises(ConfigError, match="must"):
        LeaseDurations(lease_s=lease_s, renew_s=renew_s, retry_s=retry_s)  # type: ignore[arg-type]  # as from a flag


def test_every_kind_of_record_has_a_step_at_every_age() -> None:
    """The whole table: whose record it is, how old it is, whether it was deleted, whether we take leases at all."""
    for holder, is_over, is_deleted, takes in itertools.product(
        ("", US, OTHER), (False, True), (False, True), (False, True)
    ):
        seen = first_look(lease(holder))
        if is_deleted:
            seen = see(seen, None, DURATIONS, SEEN_S + 1)
        got = step(seen, after_s=15.0 if is_over else 2.0, takes=takes)
        if not takes:
            want = Step.WATCH
        elif holder == OTHER and not is_over:
            want = Step.WAIT
        elif is_deleted:
            want = Step.CREATE
        else:
            want = Step.RENEW if holder == US else Step.TAKE
        assert got is want, (holder, is_over, is_deleted, takes)
