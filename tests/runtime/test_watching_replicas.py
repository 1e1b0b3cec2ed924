"""Probes, metrics and `/v1/stats`: true, cheap, and answered whatever the handler does."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from replica_process import ServeFunction, wait_until

BLOCKED = """
    import time, dilu
    from pathlib import Path

    @dilu.function(batch=2, queue_size=3, slo_ms=100)
    def blocked(items: list[str]) -> list[str]:
        while not Path(items[0]).exists():
            time.sleep(0.01)
        return items
"""


def test_probes_are_answered_and_refusals_say_when_to_come_back(serve_function: ServeFunction, tmp_path: Path) -> None:
    replica = serve_function(BLOCKED)
    gate = tmp_path / "gate"
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(replica.post, str(gate))
        wait_until(lambda: replica.stats()["in_flight"] == 1 and replica.stats()["queue_depth"] == 0, "one runs")
        waiting = [pool.submit(replica.post, str(gate)) for _ in range(3)]
        wait_until(lambda: replica.stats()["queue_depth"] == 3, "three wait")
        began_s = time.monotonic()
        refused = replica.post(str(gate))
        assert time.monotonic() - began_s < 5
        assert refused.status == 429
        assert refused.headers["dilu-refused"] == "queue-full"
        assert int(refused.headers["retry-after"]) >= 1
        for port in (replica.port, replica.stats_port):
            assert replica.request("GET", "/healthz", port=port).status == 200
            assert replica.request("GET", "/readyz", port=port).status == 200
        stats = replica.stats()
        assert (stats["in_flight"], stats["queue_depth"]) == (4, 3)
        assert stats["totals"]["refused"] == 1
        assert stats["oldest_wait_s"] > 0
        gate.touch()
        assert [answer.result().status for answer in [first, *waiting]] == [200] * 4
    totals = replica.stats()["totals"]
    assert totals == {
        "requests": 5,
        "completed": 4,
        "failed": 0,
        "refused": 1,
        "slo_met": totals["slo_met"],
        "slo_missed": 5 - totals["slo_met"],
    }


def test_demand_of_the_last_second_includes_refused_requests(serve_function: ServeFunction, tmp_path: Path) -> None:
    replica = serve_function(BLOCKED)
    gate = tmp_path / "gate"
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(replica.post, str(gate)) for _ in range(20)]
        wait_until(lambda: replica.stats()["totals"]["refused"] >= 15, "most are refused")
        stats = replica.stats()
        gate.touch()
        assert sum(answer.result().status == 429 for answer in answers) >= 15
    assert stats["arrivals_rps"] >= stats["refused_rps"] >= 0
    wait_until(lambda: replica.stats()["arrivals_rps"] == 0, "a quiet second reads as zero", 5)


def test_metrics_tell_each_request_by_outcome(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        import dilu

        @dilu.function(slo_ms=10000, batch=4, example=1)
        def f(items: list[int]):
            if 13 in items:
                raise ValueError
            return items
        """
    )
    for item in (1, 2, 3, 13, "text"):
        replica.post(item)
    samples = {
        (sample.name, *(value for key, value in sorted(sample.labels.items()) if key != "function")): sample.value
        for family in text_string_to_metric_families(replica.metrics())
        for sample in family.samples
    }
    assert samples["dilu_requests_total", "200"] == 3
    assert samples["dilu_requests_total", "422"] == 1
    assert samples["dilu_requests_total", "500"] == 1
    assert samples["dilu_requests_total", "429"] == 0
    assert (samples["dilu_slo_requests_total", "true"], samples["dilu_slo_requests_total", "false"]) == (3, 1)
    assert samples["dilu_request_duration_seconds_count",] == 5
    assert samples["dilu_queue_wait_seconds_count",] == 4
    assert samples["dilu_batch_size_sum",] == 4
    assert samples["dilu_batch_execution_seconds_count",] == 4
    assert samples["dilu_requests_in_flight",] == 0
    for phase in ("process", "import", "load", "warmup"):
        assert samples["dilu_cold_start_seconds", phase] >= 0


def test_openmetrics_is_served_to_those_who_ask(serve_function: ServeFunction) -> None:
    replica = serve_function("import dilu\n@dilu.function\ndef f(x: int): return x\n")
    answer = replica.request(
        "GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}, port=replica.stats_port
    )
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")


def test_what_the_stats_port_does_not_have_is_a_json_error(serve_function: ServeFunction) -> None:
    replica = serve_function("import dilu\n@dilu.function\ndef f(x: int): return x\n")
    assert replica.request("GET", "/nope", port=replica.stats_port).status == 404
    assert replica.request("POST", "/metrics", port=replica.stats_port).status == 405
    assert replica.stats()["totals"]["requests"] == 0, "looking is not traffic"


def test_the_learned_execution_time_gives_a_capacity(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        import time, dilu

        @dilu.function(batch=4, example=0)
        def f(items: list[int]):
            time.sleep(0.02 + 0.01 * len(items))
            return items
        """
    )
    stats = replica.stats()
    assert stats["execution"]["batches"] == 4, "the warm-up teaches: one item and a full batch, twice each"
    assert 20 < stats["learned_rps"] < 4 / 0.06 + 1


def test_on_knative_the_port_opens_only_when_the_model_is_ready(serve_function: ServeFunction, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    replica = serve_function(
        f"""
        import time, dilu
        from pathlib import Path

        @dilu.function
        class F:
            def load(self):
                while not Path({str(gate)!r}).exists():
                    time.sleep(0.01)
            def predict(self, x: int): return x
        """,
        wait=False,
        K_SERVICE="f",
        HOST="127.0.0.1",
    )
    replica.wait_for("phase")
    replica.wait_for("phase")
    listening = _listening_ports(replica.process.pid)
    wait_until(lambda: len(_listening_ports(replica.process.pid)) == 1, "only the stats port listens")
    assert len(listening) <= 1
    gate.touch()
    replica.wait_until_ready()
    assert replica.post(1).status == 200
    wait_until(lambda: "is ready" in replica.log(), "the line is written")
    wait_until(lambda: replica.log().endswith("\n"), "the line is written")
    assert [json.loads(line)["level"] for line in replica.log().splitlines()] == ["INFO"], "Knative gets JSON logs"


def test_elsewhere_a_starting_replica_refuses_in_a_way_that_may_be_retried(
    serve_function: ServeFunction, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    replica = serve_function(
        f"""
        import time, dilu
        from pathlib import Path

        @dilu.function
        class F:
            def load(self):
                while not Path({str(gate)!r}).exists():
                    time.sleep(0.01)
            def predict(self, x: int): return x
        """,
        wait=False,
    )
    wait_until(lambda: len(_listening_ports(replica.process.pid)) == 2, "both ports listen", 30)
    states = []
    for port in _listening_ports(replica.process.pid):
        answer = replica.request("GET", "/readyz", port=port)
        states.append((answer.status, answer.json()))
        refused = replica.request("POST", "/", b"1", port=port)
        assert refused.status in (503, 404)
        if refused.status == 503:
            assert refused.headers["dilu-refused"] == "starting"
            assert refused.headers["retry-after"] == "1"
    assert states == [(503, {"state": "starting"})] * 2
    gate.touch()
    replica.wait_until_ready()
    assert replica.post(1).status == 200


def _listening_ports(pid: int) -> list[int]:
    import psutil

    connections = psutil.Process(pid).net_connections(kind="tcp")
    return sorted(connection.laddr.port for connection in connections if connection.status == psutil.CONN_LISTEN)
