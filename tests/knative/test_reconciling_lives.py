"""Whole lives of revisions, look by look, against a cluster that carries out what is planned."""

from __future__ import annotations

from dataclasses import replace

from dilu_autoscaler.knative.reconciling.cluster_view import PodCounts
from dilu_autoscaler.knative.reconciling.conditions import time_s
from dilu_autoscaler.knative.reconciling.revision_plan import RevisionPlan
from dilu_kube.objects import OwnerReference
from knative.revisions import CONFIG, Cluster, autoscaler, kinds, metric, said, scaled_to, services


def states(made: RevisionPlan) -> tuple[str, str, str]:
    """Reason, else status, of Active, and the status of two others."""
    found = said(made.status)
    active = found["Active"]
    return active[1] or active[0], found["SKSReady"][0], found["ScaleTargetInitialized"][0]


def serving() -> Cluster:
    """One pod, ready and active, as after a first request."""
    cluster = Cluster()
    cluster.look()
    cluster.serve(ready=False)
    cluster.look()
    cluster.pods = PodCounts(ready=1)
    cluster.serve(ready=True)
    cluster.desired = 1
    cluster.rest(ready=True)
    return cluster


def test_a_revision_is_created_serves_falls_to_zero_and_comes_back() -> None:
    cluster = Cluster()

    made = cluster.look()  # created: the ServerlessService is the first thing
    assert kinds(made.writes) == ["create-sks", "put-status"]
    assert states(made) == ("Queued", "Unknown", "Unknown")
    assert not made.wants_decider
    assert cluster.look().writes == ()

    cluster.serve(ready=False)  # its controller has made the Services; no pod is ready
    made = cluster.look()
    assert kinds(made.writes) == ["create-metric", "update-sks", "put-status"]  # enough activators for a burst
    assert (made.wants_decider, made.want, cluster.pa.status.service_name) == (True, -1, "rev")
    assert cluster.settle().again_after_s == 151.0

    cluster.now_s += 20  # the first pod is ready, nothing is known of the load yet
    cluster.pods = PodCounts(ready=1)
    cluster.serve(ready=True)
    made = cluster.look()
    assert states(made) == ("True", "Unknown", "True")  # because more activators are wanted
    assert (made.status.desired_scale, made.status.actual_scale) == (-1, 1)
    assert states(cluster.rest(ready=True)) == ("True", "True", "True")

    cluster.now_s += 2
    cluster.desired = 3
    made = cluster.look()
    assert (scaled_to(made), made.mode, made.status.desired_scale) == (3, "Proxy", 3)
    cluster.pods = PodCounts(ready=3)
    cluster.excess_burst_capacity = 10
    made = cluster.look()
    assert (kinds(made.writes), made.mode) == (["update-sks", "put-status"], "Serve")
    assert states(made) == ("True", "Unknown", "True")  # until the controller has seen it
    cluster.serve(ready=True)
    assert states(cluster.look()) == ("True", "True", "True")
    assert cluster.look().writes == ()

    cluster.now_s += 100  # idle: one is kept until it was active for a window
    cluster.desired = 0
    made = cluster.look()
    assert (scaled_to(made), made.want, made.mode) == (1, 1, "Serve")
    assert made.again_after_s == 300.0 - 102.0
    cluster.pods = PodCounts(ready=1)
    cluster.rest(ready=True)

    cluster.now_s += 198
    made = cluster.look()  # inactive, but the pod stays
    assert states(made)[0] == "NoTraffic"
    assert (scaled_to(made), made.mode, made.status.desired_scale) == (None, "Proxy", 0)

    cluster.now_s += 5  # the way over the activators is still younger than the grace
    cluster.serve(ready=True)
    cluster.activator_answers = False
    assert cluster.look().starts_probe
    cluster.activator_answers = True
    made = cluster.settle()
    assert (made.again_after_s, cluster.replicas) == (60.0, 1)
    cluster.now_s += 55  # inactive for the whole grace
    made = cluster.look()
    assert (scaled_to(made), cluster.replicas) == (0, 0)
    cluster.pods = PodCounts()
    cluster.serve(ready=False)
    made = cluster.settle()
    assert (states(made), made.status.actual_scale) == (("NoTraffic", "Unknown", "True"), 0)

    cluster.now_s += 3600  # a request: one is wanted again
    cluster.desired, cluster.excess_burst_capacity = 1, -1
    made = cluster.look()
    assert (scaled_to(made), states(made)[0], made.mode) == (1, "Queued", "Proxy")

    cluster.now_s += 100  # its pod never becomes ready, and the client has given up
    cluster.desired = 0
    made = cluster.settle()
    assert (made.want, made.again_after_s) == (-1, 151.0)
    assert (cluster.replicas, cluster.pa.status.desired_scale) == (1, 1)
    cluster.now_s += 51
    assert scaled_to(cluster.look()) is None
    cluster.now_s += 1
    made = cluster.look()
    assert (scaled_to(made), states(made)[0]) == (0, "TimedOut")
    assert said(made.status)["Ready"] == ("False", "TimedOut")
    assert states(cluster.settle())[0] == "NoTraffic"


def test_a_revision_that_never_starts_is_given_up_for_want_of_pods_not_of_data() -> None:
    cluster = Cluster()
    cluster.look()
    cluster.serve(ready=False)
    cluster.settle()
    for _ in range(15):
        cluster.now_s += 10
        assert cluster.look().writes == ()
    cluster.now_s += 2
    made = cluster.look()
    assert (scaled_to(made), said(made.status)["Ready"]) == (0, ("False", "TimedOut"))
    assert said(made.status)["ScaleTargetInitialized"][0] == "Unknown"


def test_a_new_holder_keeps_all_that_it_finds_until_it_knows_the_load() -> None:
    cluster = serving()
    cluster.replicas, cluster.pods = 7, PodCounts(ready=7)
    cluster.desired = 7
    cluster.settle()
    before = cluster.pa.status
    cluster.desired, cluster.excess_burst_capacity = -1, -1  # the policy is a new one
    for _ in range(5):
        cluster.now_s += 1000
        cluster.look()
    assert cluster.replicas == 7
    assert cluster.pa.status.desired_scale == before.desired_scale == 7


def test_a_new_holder_leaves_an_idle_revision_at_zero() -> None:
    cluster = serving()
    cluster.desired = 0
    cluster.now_s += 400
    cluster.look()
    cluster.now_s += 61
    cluster.settle()
    cluster.pods = PodCounts()
    cluster.serve(ready=False)
    cluster.settle()
    assert cluster.replicas == 0
    cluster.desired = -1
    for _ in range(3):
        cluster.now_s += 100
        made = cluster.look()
        assert (made.writes, made.mode) == ((), "Proxy")


def test_a_deleted_serverless_service_is_made_again_and_the_pods_stay() -> None:
    cluster = serving()
    cluster.sks = None
    made = cluster.look()
    assert kinds(made.writes) == ["create-sks", "put-status"]
    assert (states(made)[:2], made.status.actual_scale) == (("Queued", "Unknown"), 0)
    assert (cluster.replicas, made.status.desired_scale) == (1, 1)
    assert cluster.look().writes == ()
    cluster.serve(ready=True)
    assert states(cluster.rest(ready=True)) == ("True", "True", "True")


def test_a_deleted_metric_is_made_again() -> None:
    cluster = serving()
    cluster.metric = None
    assert kinds(cluster.look().writes) == ["create-metric"]
    assert cluster.metric is not None


def test_nothing_happens_to_a_revision_whose_objects_belong_to_another_owner() -> None:
    other = OwnerReference(kind="PodAutoscaler", name="other", uid="other", controller=True)
    cluster = serving()
    cluster.metric = metric(owner=other)
    made = cluster.look()
    assert made.error is not None
    assert kinds(made.writes) == ["put-status"]
    again = cluster.look()
    assert (again.writes, again.error) == ((), made.error)
    assert states(again)[0] == "NotOwned"
    cluster.metric = None  # it is deleted: all is well again
    made = cluster.settle()
    assert (states(made), made.error) == (("True", "True", "True"), None)

    cluster.sks = services(owner=other)
    assert cluster.look().error is not None
    assert cluster.look().writes == ()


def test_a_new_generation_is_observed_once() -> None:
    cluster = serving()
    cluster.respec(reachability="Reachable")
    made = cluster.look()
    assert kinds(made.writes) == ["put-status"]
    assert (made.status.observed_generation, states(made)) == (2, ("True", "True", "True"))
    assert cluster.look().writes == ()


def test_an_edited_min_scale_is_followed_at_once() -> None:
    cluster = serving()
    cluster.annotate("autoscaling.knative.dev/min-scale", "4")
    made = cluster.look()
    assert (scaled_to(made), states(made)[0]) == (4, "Queued")
    cluster.pods = PodCounts(ready=4)
    assert states(cluster.settle())[0] == "True"


def test_an_unreachable_revision_loses_its_min_scale_but_not_its_protocol() -> None:
    cluster = Cluster(pa=autoscaler(annotations={"min-scale": "2", "initial-scale": "2"}), replicas=2)
    cluster.look()
    cluster.serve(ready=True)
    cluster.pods, cluster.desired = PodCounts(ready=2), 0
    cluster.settle()
    cluster.now_s += 1000
    assert cluster.settle().want == 2
    cluster.respec(reachability="Unreachable")
    made = cluster.look()  # it was active for long
    assert (scaled_to(made), states(made)[0]) == (None, "NoTraffic")
    cluster.now_s += 60
    assert scaled_to(cluster.look()) == 0


def test_an_initial_scale_is_held_until_it_is_reached() -> None:
    cluster = Cluster(pa=autoscaler(annotations={"initial-scale": "3"}), replicas=3, desired=-1)
    cluster.look()
    cluster.serve(ready=True)
    cluster.pods = PodCounts(ready=2, not_ready=1)
    cluster.desired = 1
    made = cluster.rest(ready=True)
    assert (cluster.replicas, made.want, states(made)) == (3, 3, ("Queued", "True", "Unknown"))
    cluster.pods = PodCounts(ready=3)
    cluster.look()
    cluster.serve(ready=True)
    made = cluster.look()
    assert (states(made), scaled_to(made), cluster.replicas) == (("True", "True", "True"), 1, 1)


def test_an_initial_scale_of_zero_stays_there_until_a_request() -> None:
    config = replace(CONFIG, autoscaler=replace(CONFIG.autoscaler, allow_zero_initial_scale=True))
    cluster = Cluster(pa=autoscaler(annotations={"initial-scale": "0"}), replicas=0, config=config)
    made = cluster.look()
    assert states(made) == ("NoTraffic", "Unknown", "Unknown")
    cluster.serve(ready=False)
    assert states(cluster.settle()) == ("NoTraffic", "Unknown", "True")
    cluster.now_s += 5000
    assert (cluster.look().writes, cluster.replicas) == ((), 0)
    cluster.desired = 1
    made = cluster.look()
    assert (scaled_to(made), states(made)[0]) == (1, "Queued")


def test_the_times_of_conditions_stand_still_while_nothing_changes() -> None:
    cluster = serving()
    before = cluster.pa.status.conditions
    for _ in range(50):
        cluster.now_s += 7.5
        assert cluster.look().writes == ()
    assert cluster.pa.status.conditions == before
    assert {time_s(one.last_transition_time or "") for one in before} == {cluster.now_s - 50 * 7.5}
