"""What holds for every reconciliation, whatever the cluster's state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.knative.configuration.config import AutoscalerConfig, Config
from dilu_autoscaler.knative.objects import POD_AUTOSCALERS
from dilu_autoscaler.knative.reconciling.cluster_view import PodCounts
from dilu_autoscaler.knative.reconciling.replica_count import bounds_now
from dilu_autoscaler.knative.reconciling.revision_plan import needs_activator_answer, plan
from dilu_autoscaler.knative.reconciling.writes import WriteKind
from dilu_kube.objects import ConditionObject, OwnerReference
from knative.revisions import Cluster, activating, active, autoscaler, condition, inactive, metric, said, services

AGES = st.sampled_from([0.0, 1.0, 29.0, 30.0, 31.0, 59.0, 60.0, 61.0, 299.0, 300.0, 630.0, 631.0, 5000.0])
STATUSES = st.sampled_from(["True", "False", "Unknown"])
COUNTS = st.integers(0, 4)
OTHER = OwnerReference(kind="PodAutoscaler", name="other", uid="other", controller=True)


@st.composite
def stored_conditions(draw: st.DrawFn) -> tuple[ConditionObject, ...]:
    kinds_ = draw(st.sets(st.sampled_from(["Active", "Ready", "SKSReady", "ScaleTargetInitialized"])))
    reasons = st.sampled_from(["", "NoTraffic", "TimedOut", "Queued", "NotReady"])
    return tuple(condition(kind, draw(STATUSES), draw(reasons), for_s=draw(AGES)) for kind in sorted(kinds_))


@st.composite
def autoscalers(draw: st.DrawFn) -> Any:
    scales = {
        "min-scale": draw(COUNTS),
        "max-scale": draw(COUNTS),
        "initial-scale": draw(COUNTS),
        "target-burst-capacity": draw(st.sampled_from([-1, 0, 200])),
        "scale-to-zero-pod-retention-period": f"{draw(st.sampled_from([0, 45]))}s",
        "window": "60s",
    }
    kept = draw(st.sets(st.sampled_from(sorted(scales))))
    status: dict[str, Any] = {
        "service_name": draw(st.sampled_from(["", "rev"])),
        "metrics_service_name": draw(st.sampled_from(["", "rev-private"])),
        "observed_generation": draw(st.integers(0, 1)),
    }
    if draw(st.booleans()):
        status |= {"desired_scale": draw(st.integers(-1, 4)), "actual_scale": draw(COUNTS)}
    return autoscaler(
        *draw(stored_conditions()),
        annotations={key: str(text) for key, text in scales.items() if key in kept},
        spec={"reachability": draw(st.sampled_from(["", "Reachable", "Unreachable"]))},
        **status,
    )


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    sks = services(
        mode=draw(st.sampled_from(["Serve", "Proxy"])),
        activators=draw(st.integers(2, 5)),
        ready=draw(st.booleans()),
        named=draw(st.booleans()),
        private=draw(st.integers(0, 4)) > 0,
        in_path_for_s=draw(st.one_of(st.none(), AGES)),
        owner=OTHER if draw(st.integers(0, 9)) == 0 else services().metadata.owner_references[0],
    )
    owner = OTHER if draw(st.integers(0, 9)) == 0 else services().metadata.owner_references[0]
    return Cluster(
        pa=draw(autoscalers()),
        sks=draw(st.sampled_from([sks, sks, sks, None])),
        metric=draw(st.sampled_from([metric(window_s=60, panic_s=6, owner=owner), metric(owner=owner), None])),
        replicas=draw(st.one_of(st.none(), st.integers(0, 6))),
        pods=PodCounts(ready=draw(COUNTS)),
        desired=draw(st.integers(-1, 5)),
        excess_burst_capacity=draw(st.integers(-2, 1)),
        activator_answers=draw(st.booleans()),
        config=Config(
            autoscaler=AutoscalerConfig(
                scale_to_zero=draw(st.integers(0, 4)) > 0, allow_zero_initial_scale=draw(st.booleans())
            )
        ),
    )


@given(clusters())
def test_looks_come_to_rest_and_then_write_nothing_more(cluster: Cluster) -> None:
    made = cluster.settle()
    resting = cluster.pa, cluster.sks, cluster.metric, cluster.replicas
    cluster.now_s += 0.4  # not even times
    assert cluster.look() == made if made.again_after_s is None else cluster.look().writes == ()
    assert (cluster.pa, cluster.sks, cluster.metric, cluster.replicas) == resting


@given(clusters())
def test_a_second_look_writes_nothing_unless_the_first_changed_what_it_depends_on(cluster: Cluster) -> None:
    def basis() -> tuple[Any, ...]:
        found = said(cluster.pa.status)
        return found.get("Active"), found.get("ScaleTargetInitialized"), bool(cluster.pa.status.service_name)

    cluster.look()
    before = basis()
    cluster.look()
    if basis() == before:
        assert cluster.look().writes == ()


@st.composite
def activations(draw: st.DrawFn) -> tuple[Cluster, float]:
    """A revision that is being activated, for that time, with replicas and before any decision."""
    cluster, for_s = draw(clusters()), draw(AGES)
    others = [one for one in cluster.pa.status.conditions if one.type != "Active"]
    status = msgspec.structs.replace(cluster.pa.status, conditions=(activating(for_s), *others), observed_generation=1)
    cluster.pa = msgspec.structs.replace(cluster.pa, status=status)
    cluster.sks, cluster.metric = services(), None
    cluster.replicas, cluster.desired = draw(st.integers(1, 6)), -1
    return cluster, for_s


@given(activations())
def test_before_any_decision_only_an_activation_beyond_its_time_out_loses_replicas(
    activation: tuple[Cluster, float],
) -> None:
    cluster, for_s = activation
    before, world = cluster.replicas, cluster.world()
    initialized = said(cluster.pa.status).get("ScaleTargetInitialized", ("", ""))[0] == "True"
    may_be_zero = bounds_now(world.settings, initialized=initialized).clamp(0) == 0
    times_out = for_s > 630.0 and may_be_zero and world.config.autoscaler.scale_to_zero
    made = cluster.look()
    assert before is not None
    assert cluster.replicas is not None
    if times_out:
        assert (cluster.replicas, said(made.status)["Active"][0]) == (0, "False")
    else:
        assert cluster.replicas >= before


@given(clusters(), st.integers(0, 6))
def test_a_known_scale_stays_until_another_one_is_known(cluster: Cluster, known: int) -> None:
    cluster.pa = msgspec.structs.replace(
        cluster.pa, status=msgspec.structs.replace(cluster.pa.status, desired_scale=known)
    )
    made = plan(replace(cluster.world(), desired=-1))
    is_new = made.error is None and made.wants_decider and made.want >= 0
    assert made.status.desired_scale == (made.want if is_new else known)


@given(clusters())
def test_only_the_status_of_a_pod_autoscaler_is_written_and_last(cluster: Cluster) -> None:
    seen = cluster.world()
    made = plan(seen)
    for place, write in enumerate(made.writes):
        is_status = write.kind is WriteKind.PUT_STATUS
        assert (write.resource is POD_AUTOSCALERS) == is_status
        assert is_status == (write.subresource == "status")
        assert not is_status or place == len(made.writes) - 1
    assert len({write.kind for write in made.writes}) == len(made.writes)
    assert made.status.observed_generation == seen.pa.metadata.generation
    assert made.status.annotations == seen.pa.status.annotations


@given(clusters())
def test_ready_is_what_the_other_conditions_say(cluster: Cluster) -> None:
    made = plan(cluster.world())
    found = {kind: status for kind, (status, _) in said(made.status).items()}
    ready = found.pop("Ready")
    assert [one.type for one in made.status.conditions] == ["Active", "Ready", "SKSReady", "ScaleTargetInitialized"]
    if made.error is None:
        worst = next((status for status in ("False", "Unknown") if status in found.values()), "True")
        assert ready == worst


@given(clusters())
def test_the_bounds_hold_for_all_that_is_asked_for(cluster: Cluster) -> None:
    seen = cluster.world()
    made = plan(seen)
    asked = [write.body[0]["value"] for write in made.writes if isinstance(write.body, list)]
    settings, reachable = seen.settings, seen.settings.kpa.reachable
    least = settings.min_scale if reachable else 0
    for replicas in asked:
        assert replicas >= (min(least, settings.max_scale) if settings.max_scale else least)
        assert not settings.max_scale or replicas <= max(settings.max_scale, least, settings.initial_scale, 1)
    if seen.desired > 0 and made.error is None and made.wants_decider:
        assert made.want > 0


@given(clusters(), st.booleans())
def test_an_answer_that_is_not_needed_changes_nothing(cluster: Cluster, answers: bool) -> None:
    seen = cluster.world()
    if not needs_activator_answer(seen):
        assert plan(replace(seen, activator_answers=answers)) == plan(replace(seen, activator_answers=None))


@given(clusters())
def test_the_last_pod_goes_only_when_an_activator_answers(cluster: Cluster) -> None:
    cluster.activator_answers = False
    was_inactive = said(cluster.pa.status).get("Active", ("Unknown", ""))[0] == "False"
    limited = cluster.world().settings.tbc != -1
    made = plan(cluster.world())
    if was_inactive and limited:
        assert all(write.body[0]["value"] > 0 for write in made.writes if isinstance(write.body, list))


def test_the_worlds_tried_here_reach_all_ends() -> None:
    assert plan(Cluster(pa=autoscaler(active())).world()).status.actual_scale == 0
    assert plan(Cluster(pa=autoscaler(inactive()), sks=services(), desired=0).world()).starts_probe
