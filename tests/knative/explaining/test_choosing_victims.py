from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.knative.reconciling.scale_down import COST_ANNOTATION, PodLoad, Victims, choose_victims, cost_patch


def pod(
    name: str,
    in_flight: int | None = 0,
    *,
    ready: bool = True,
    started_s: float = 0.0,
    cost: str | None = None,
) -> PodLoad:
    return PodLoad(name=name, ready=ready, in_flight=in_flight, started_s=started_s, cost=cost)


def written(victims: Victims) -> dict[str, str]:
    return {write.pod: write.cost for write in victims.writes}


def applied(pods: list[PodLoad], victims: Victims) -> list[PodLoad]:
    costs = written(victims)
    return [replace(one, cost=costs.get(one.name, one.cost)) for one in pods]


def deleted_by_kubernetes(pods: list[PodLoad], going: int) -> set[str]:
    """Not ready ones first, then by cost, then the youngest."""

    def rank(one: PodLoad) -> tuple[bool, int, float, str]:
        return one.ready, int(one.cost or "0"), -one.started_s, one.name

    return {one.name for one in sorted(pods, key=rank)[:going]}


def test_the_idle_one_goes_and_the_busy_ones_stay() -> None:
    chosen = choose_victims([pod("a", 3), pod("b", 0), pod("c", 9)], 1)
    assert chosen.names == ("b",)
    assert written(chosen) == {"b": "-1000"}


def test_the_less_busy_go_where_none_is_idle() -> None:
    chosen = choose_victims([pod("a", 3), pod("b", 5), pod("c", 9)], 2)
    assert written(chosen) == {"a": "-997", "b": "-995"}


def test_a_load_that_is_not_known_is_busier_than_any_known_one() -> None:
    chosen = choose_victims([pod("a", None), pod("b", 5_000_000), pod("c", 1)], 2)
    assert chosen.names == ("c", "b")
    assert written(chosen) == {"c": "-999", "b": "-100"}


def test_the_youngest_goes_first_among_equals() -> None:
    chosen = choose_victims([pod("a", started_s=10), pod("b", started_s=30), pod("c", started_s=20)], 2)
    assert chosen.names == ("b", "c")


def test_pods_that_are_not_ready_go_anyway() -> None:
    pods = [pod("a", 1), pod("b", 0), pod("c", None, ready=False)]
    assert choose_victims(pods, 1) == Victims()
    assert choose_victims(pods, 2).names == ("b",)


def test_no_pod_is_chosen_where_all_or_none_go() -> None:
    pods = [pod("a", 1), pod("b", 0)]
    assert [choose_victims(pods, going) for going in (-1, 0, 2, 3)] == [Victims()] * 4
    assert choose_victims([], 1) == Victims()


def test_no_pod_is_chosen_where_no_load_is_known() -> None:
    assert choose_victims([pod("a", None), pod("b", None, cost="-1000")], 1) == Victims()


def test_a_pod_that_was_chosen_before_and_stays_gets_its_zero_back_first() -> None:
    pods = [pod("a", 0), pod("b", 7, cost="-1000"), pod("c", 5)]
    chosen = choose_victims(pods, 1, max_writes=1)
    assert written(chosen) == {"b": "0"}
    assert chosen.left_out == 1


def test_what_is_written_already_is_not_written_again() -> None:
    assert choose_victims([pod("a", 0, cost="-1000"), pod("b", 2, cost="0")], 1).writes == ()


def test_costs_set_by_others_hold() -> None:
    protected, unloved, first = pod("a", 0, cost="50"), pod("b", 0, cost="-5"), pod("c", 9, cost="-2000")
    pods = [protected, unloved, first, pod("d", 4), pod("e", 2)]
    assert [choose_victims(pods, going).names for going in (1, 2, 3, 4)] == [
        ("c",),
        ("c", "e"),
        ("c", "e", "d"),
        ("c", "e", "d", "b"),
    ]
    assert written(choose_victims(pods, 4)) == {"e": "-998", "d": "-996"}


def test_an_annotation_that_is_no_number_counts_as_none() -> None:
    for cost in ("", "much", "1e3", "99999999999"):
        assert written(choose_victims([pod("a", 0, cost=cost), pod("b", 1)], 1)) == {"a": "-1000"}


def test_the_patch_names_the_annotation_of_kubernetes() -> None:
    assert COST_ANNOTATION == "controller.kubernetes.io/pod-deletion-cost"
    assert cost_patch("-1000") == {"metadata": {"annotations": {COST_ANNOTATION: "-1000"}}}


LOADS = st.builds(
    PodLoad,
    name=st.just(""),
    ready=st.booleans(),
    in_flight=st.one_of(st.none(), st.integers(0, 2000)),
    started_s=st.integers(0, 5).map(float),
    cost=st.one_of(st.none(), st.sampled_from(["0", "-1000", "-997", "-99", "50", "-5", "-2000"])),
)
PODS = st.lists(LOADS, max_size=8).map(
    lambda loads: [replace(load, name=f"pod-{number}") for number, load in enumerate(loads)]
)


@given(PODS, st.integers(-1, 9))
def test_kubernetes_then_deletes_just_those(pods: list[PodLoad], going: int) -> None:
    chosen = choose_victims(pods, going)
    after = applied(pods, chosen)
    if chosen.names:
        ready = {one.name for one in pods if one.ready}
        assert deleted_by_kubernetes(after, going) & ready == set(chosen.names)
    assert choose_victims(after, going).writes == ()  # nothing is left to be written


@given(PODS, st.integers(1, 8))
def test_no_pod_that_stays_is_less_loaded_than_one_who_goes(pods: list[PodLoad], going: int) -> None:
    plain = [replace(one, cost=None) for one in pods]
    names = choose_victims(plain, going).names
    loads = {one.name: 10_000 if one.in_flight is None else min(one.in_flight, 900) for one in plain if one.ready}
    if names:
        assert max(loads[name] for name in names) <= min(load for name, load in loads.items() if name not in names)


@given(PODS, st.integers(1, 8), st.integers(0, 8), st.randoms())
def test_order_does_not_matter_and_writes_are_bounded(
    pods: list[PodLoad], going: int, most: int, random: object
) -> None:
    chosen = choose_victims(pods, going, max_writes=most)
    assert choose_victims(pods[::-1], going, max_writes=most).names == chosen.names
    everything = choose_victims(pods, going)
    assert chosen.writes == everything.writes[:most]
    assert chosen.left_out == len(everything.writes) - len(chosen.writes)


@given(PODS, st.integers(1, 8), st.integers(1, 3))
def test_a_few_writes_at_a_time_come_to_the_same(pods: list[PodLoad], going: int, most: int) -> None:
    at_once = {one.name: one.cost for one in applied(pods, choose_victims(pods, going))}
    for _ in range(len(pods)):
        pods = applied(pods, choose_victims(pods, going, max_writes=most))
    assert {one.name: one.cost for one in pods} == at_once
