from __future__ import annotations

from dataclasses import replace

from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dilu_autoscaler.knative.explaining.metrics import SAMPLES_IN_A_PIECE, NumbersCollector
from dilu_autoscaler.knative.explaining.snapshot import BucketNumbers, Numbers, ProcessNumbers, RevisionNumbers
from dilu_autoscaler.knative.scraping.scrape_schedule import ScrapeTimes
from dilu_autoscaler.policy.horizontal.kpa.settings import ScalingMetric

BUCKET = "autoscaler-bucket-00-of-01"
EMBED = RevisionNumbers(
    namespace="shop",
    service="embed",
    configuration="embed",
    revision="embed-00001",
    desired=4,
    requested=3,
    ready=2,
    not_ready=1,
    pending=1,
    terminating=1,
    panicking=True,
    excess_burst_capacity=-12,
    stable=20.5,
    panic=60.0,
    target=7.0,
    scrape_errors=5,
)
OF_EMBED = {"namespace": "shop", "service": "embed", "configuration": "embed", "revision": "embed-00001"}
STOCK_OF_EMBED = {
    "k8s_namespace_name": "shop",
    "kn_configuration_name": "embed",
    "kn_revision_name": "embed-00001",
    "kn_service_name": "embed",
}


def samples(numbers: Numbers) -> dict[str, list[tuple[dict[str, str], float]]]:
    """The samples by name, as Prometheus reads the text."""
    text = b"".join(NumbersCollector(lambda: numbers).pieces()).decode()
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_a_revision_has_its_replicas_load_and_panic() -> None:
    found = samples(Numbers(revisions=(EMBED,)))
    values = {name: one[0][1] for name, one in found.items() if name.startswith("dilu_revision_")}
    assert values == {
        "dilu_revision_desired_replicas": 4,
        "dilu_revision_requested_replicas": 3,
        "dilu_revision_ready_replicas": 2,
        "dilu_revision_not_ready_replicas": 1,
        "dilu_revision_pending_replicas": 1,
        "dilu_revision_terminating_replicas": 1,
        "dilu_revision_panic": 1,
        "dilu_revision_excess_burst_capacity": -12,
        "dilu_revision_scrape_errors_total": 5,
        "dilu_revision_load_stable": 20.5,
        "dilu_revision_load_panic": 60,
        "dilu_revision_load_target": 7,
        "dilu_revision_policy": 1,
    }
    assert found["dilu_revision_ready_replicas"][0][0] == OF_EMBED
    assert found["dilu_revision_load_stable"][0][0] == {**OF_EMBED, "metric": "concurrency"}
    assert found["dilu_revision_policy"][0][0] == {**OF_EMBED, "policy": "kpa"}


def test_a_revision_with_our_runtime_has_what_that_says_too() -> None:
    said = replace(EMBED, queue_depth=7, oldest_wait_s=0.25, refused_rps=3.5, learned_rps=40.0)
    found = samples(Numbers(revisions=(said,)))
    names = ("queue_depth", "oldest_wait_seconds", "refused_rps", "learned_rps")
    assert [found[f"dilu_revision_{name}"] for name in names] == [[(OF_EMBED, value)] for value in (7, 0.25, 3.5, 40)]


def test_what_is_not_known_has_no_sample() -> None:
    found = samples(Numbers(revisions=(RevisionNumbers(namespace="shop", revision="new"),)))
    assert "dilu_revision_desired_replicas" not in found
    assert "dilu_revision_load_stable" not in found
    assert found["dilu_revision_ready_replicas"] == [
        ({"namespace": "shop", "service": "", "configuration": "", "revision": "new"}, 0)
    ]


def test_the_holder_of_a_bucket_is_told_apart_from_knatives_own() -> None:
    buckets = (
        BucketNumbers(bucket="b-0", holder="dilu-autoscaler-7d9c-x2v_10.0.0.7", is_held=True, renewals=9, taken=1),
        BucketNumbers(bucket="b-1", holder="autoscaler-5f6b-qq8_10.0.0.8", lost=1),
        BucketNumbers(bucket="b-2"),
        BucketNumbers(bucket="b-3", holder="another-1"),
    )
    found = samples(Numbers(buckets=buckets))
    assert [value for _, value in found["dilu_bucket_held"]] == [1, 0, 0, 0]
    assert [labels for labels, _ in found["dilu_bucket_holder"]] == [
        {"bucket": "b-0", "holder": "dilu-autoscaler-7d9c-x2v", "side": "ours"},
        {"bucket": "b-1", "holder": "autoscaler-5f6b-qq8", "side": "stock"},
        {"bucket": "b-2", "holder": "", "side": "none"},
        {"bucket": "b-3", "holder": "another-1", "side": "other"},
    ]
    assert found["dilu_bucket_renewals_total"][0][1] == 9
    assert found["dilu_bucket_lost_total"][1][1] == 1


def test_the_process_counts_what_came_and_what_went_wrong() -> None:
    process = ProcessNumbers(
        mode="coexist",
        version="0.1.0",
        stats_received=10,
        stats_dropped=2,
        frames_undecodable=3,
        websocket_clients=4,
        forwarded=5,
        ticks=100,
        tick_overruns=6,
        work_queue=7,
        api_errors={"patch": 8, "get": 1},
        config_errors={"config-autoscaler": 1},
        informer_age_s={"Pod": 1.5},
    )
    found = samples(Numbers(process=process))
    assert found["dilu_autoscaler_info"] == [({"mode": "coexist", "version": "0.1.0"}, 1)]
    simple = ("stats_received_total", "stats_dropped_total", "stat_frames_undecodable_total", "websocket_clients")
    assert [found[f"dilu_{name}"][0][1] for name in simple] == [10, 2, 3, 4]
    simple = ("stats_forwarded_total", "ticks_total", "tick_overruns_total", "work_queue_length")
    assert [found[f"dilu_{name}"][0][1] for name in simple] == [5, 100, 6, 7]
    assert found["dilu_api_errors_total"] == [({"verb": "get"}, 1), ({"verb": "patch"}, 8)]
    assert found["dilu_config_errors"] == [({"config_map": "config-autoscaler"}, 1)]
    assert found["dilu_informer_age_seconds"] == [({"kind": "Pod"}, 1.5)]


def test_knatives_names_are_there_only_where_its_configuration_asks_for_prometheus() -> None:
    assert not [name for name in samples(Numbers(revisions=(EMBED,))) if name.startswith("kn_")]
    found = samples(Numbers(process=ProcessNumbers(stock_names=True), revisions=(EMBED,)))
    values = {name: one[0][1] for name, one in found.items() if name.startswith("kn_")}
    assert values == {
        "kn_revision_pods_desired": 4,
        "kn_revision_pods_requested": 3,
        "kn_revision_pods_count": 2,
        "kn_revision_pods_not_ready_count": 1,
        "kn_revision_pods_pending_count": 1,
        "kn_revision_pods_terminating_count": 1,
        "kn_revision_capacity_excess": -12,
        "kn_revision_panic_mode": 1,
        "kn_revision_concurrency_stable": 20.5,
        "kn_revision_concurrency_panic": 60,
        "kn_revision_concurrency_target": 7,
    }
    assert all(one[0][0] == STOCK_OF_EMBED for name, one in found.items() if name.startswith("kn_"))


def test_a_revision_scaled_by_rps_has_knatives_names_for_that() -> None:
    by_rps = RevisionNumbers(
        namespace="shop", revision="r", metric=ScalingMetric.RPS, stable=100.0, panic=120.0, target=140.0
    )
    found = samples(Numbers(process=ProcessNumbers(stock_names=True), revisions=(by_rps, EMBED)))
    names = (
        "kn_revision_rps_stable_per_second",
        "kn_revision_rps_panic_per_second",
        "kn_revision_rps_target_per_second",
    )
    assert [[value for _, value in found[name]] for name in names] == [[100], [120], [140]]
    assert [value for _, value in found["kn_revision_concurrency_stable"]] == [20.5]


def test_scrape_times_are_a_histogram_with_knatives_bounds() -> None:
    times = ScrapeTimes()
    for seconds in (0.001, 0.005, 0.2, 20.0):
        times.observe(seconds)
    revision = RevisionNumbers(namespace="shop", revision="r", scrape_times=times)
    found = samples(Numbers(process=ProcessNumbers(stock_names=True), revisions=(revision, EMBED)))
    buckets = {labels["le"]: value for labels, value in found["kn_autoscaler_scrape_duration_seconds_bucket"]}
    assert (buckets["0.005"], buckets["0.1"], buckets["0.25"], buckets["10.0"], buckets["+Inf"]) == (2, 2, 3, 3, 4)
    assert found["kn_autoscaler_scrape_duration_seconds_count"][0][1] == 4
    assert round(found["kn_autoscaler_scrape_duration_seconds_sum"][0][1], 3) == 20.206


def test_names_of_revisions_cannot_break_the_text() -> None:
    hostile = RevisionNumbers(namespace='a"} 1\nx{b="', revision="back\\slash", service="ü")
    found = samples(Numbers(revisions=(hostile,)))
    [(labels, _)] = found["dilu_revision_panic"]
    assert (labels["namespace"], labels["revision"], labels["service"]) == ('a"} 1\nx{b="', "back\\slash", "ü")


def test_the_pieces_together_are_the_whole_text() -> None:
    count = SAMPLES_IN_A_PIECE * 2 + 1
    revisions = tuple(
        RevisionNumbers(
            namespace='a"\\\n', revision=f"r-{number}", stable=number / 7, desired=number, scrape_times=ScrapeTimes()
        )
        for number in range(count)
    )
    collector = NumbersCollector(lambda: Numbers(process=ProcessNumbers(stock_names=True), revisions=revisions))
    pieces = list(collector.pieces())
    assert b"".join(pieces) == generate_latest(collector)
    assert max(piece.count(b"\n") for piece in pieces) <= SAMPLES_IN_A_PIECE + 2
    found = samples(Numbers(revisions=revisions))
    assert [value for _, value in found["dilu_revision_desired_replicas"]] == list(range(count))
