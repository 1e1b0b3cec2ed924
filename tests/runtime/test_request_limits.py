"""Deadlines, objectives and priorities: what has no chance is refused at once, what is urgent goes first."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from replica_process import Answer, ReplicaProcess, ServeFunction, wait_until

SLEEPS = """
    import dilu, time

    @dilu.function(slo_ms={slo_ms}, queue_size=100, example=0.2, admission="{admission}")
    def sleeps(seconds: float):
        time.sleep(seconds)
        return seconds
"""


def sleeping(serve: ServeFunction, slo_ms: int = 500, admission: str = "slo") -> ReplicaProcess:
    return serve(SLEEPS.format(slo_ms=slo_ms, admission=admission))


def test_what_would_miss_the_objective_because_of_others_is_refused_at_once(serve_function: ServeFunction) -> None:
    replica = sleeping(serve_function)
    with ThreadPoolExecutor(12) as pool:
        answers = [answer.result() for answer in [pool.submit(replica.post, 0.2) for _ in range(12)]]
    accepted = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status == 429]
    assert len(accepted) + len(refused) == 12
    assert 1 <= len(accepted) <= 3
    for answer in refused:
        assert answer.headers["dilu-refused"] == "deadline"
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["code"] == "deadline"
    assert f'reason="deadline"}} {float(len(refused))}' in replica.metrics()


def test_a_queue_admits_what_it_has_room_for_if_so_asked(serve_function: ServeFunction) -> None:
    replica = sleeping(serve_function, admission="queue")
    with ThreadPoolExecutor(6) as pool:
        assert {answer.status for answer in pool.map(lambda _: replica.post(0.1), range(6))} == {200}


def test_an_objective_that_not_even_one_request_can_meet_refuses_nothing(serve_function: ServeFunction) -> None:
    replica = sleeping(serve_function, slo_ms=50)
    with ThreadPoolExecutor(5) as pool:
        assert {answer.status for answer in pool.map(lambda _: replica.post(0.1), range(5))} == {200}


def test_a_client_that_waits_too_short_is_refused_while_others_wait(serve_function: ServeFunction) -> None:
    replica = sleeping(serve_function, slo_ms=60_000)
    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(replica.post, 0.2) for _ in range(5)]
        wait_until(lambda: replica.stats()["in_flight"] == 5, "five in flight")
        began_s = time.monotonic()
        answer = replica.post(0.2, headers={"X-Request-Timeout-Ms": "300"})
        assert (answer.status, answer.headers["dilu-refused"]) == (429, "deadline")
        assert time.monotonic() - began_s < 0.2
        assert {one.result().status for one in running} == {200}


def test_an_idle_replica_tries_even_what_looks_hopeless(shared_function: ServeFunction) -> None:
    replica = sleeping(shared_function)
    assert replica.post(0.01, headers={"X-Request-Timeout-Ms": "100"}).status == 200


def test_a_request_whose_time_is_over_gets_504_while_it_runs(serve_function: ServeFunction) -> None:
    replica = sleeping(serve_function)
    began_s = time.monotonic()
    answer = replica.post(6.0, headers={"X-Request-Timeout-Ms": "300"})
    assert (answer.status, answer.json()["error"]["code"]) == (504, "deadline-exceeded")
    assert time.monotonic() - began_s < 5.0


@pytest.mark.parametrize("value", ["soon", "-1", "0", "nan", "inf", ""])
def test_a_timeout_that_is_none_is_told(shared_function: ServeFunction, value: str) -> None:
    answer = sleeping(shared_function).post(0, headers={"X-Request-Timeout-Ms": value})
    assert (answer.status, answer.json()["error"]["field"]) == (400, "X-Request-Timeout-Ms")


def test_the_environment_and_envoy_bound_requests_too(serve_function: ServeFunction) -> None:
    replica = serve_function(SLEEPS.format(slo_ms=60_000, admission="slo"), DILU_REQUEST_TIMEOUT_S="0.4")
    assert replica.post(2.0).status == 504
    assert replica.post(2.0, headers={"X-Envoy-Expected-Rq-Timeout-Ms": "100"}).status in (429, 504)


ORDER = """
    import dilu, os, time

    done = []

    @dilu.function(queue_size=3)
    def order(name: str):
        if name == "order":
            return done
        while name == "first" and not os.path.exists(os.environ["RELEASE"]):
            time.sleep(0.01)
        done.append(name)
        return name
"""


def test_urgent_requests_go_first_and_displace_the_least_urgent_when_the_queue_is_full(
    serve_function: ServeFunction, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    replica = serve_function(ORDER, RELEASE=str(release))
    answers: dict[str, Answer] = {}

    def post(name: str, urgency: int) -> None:
        answers[name] = replica.post(name, headers={"Priority": f"u={urgency}"})

    threads = []
    waiting = -1
    for name, urgency in [("first", 3), ("later", 6), ("normal", 3), ("least", 7), ("urgent", 0)]:
        threads.append(threading.Thread(target=post, args=(name, urgency)))
        threads[-1].start()
        waiting += 1
        wait_until(
            lambda name=name, waiting=waiting: (
                "least" in answers  # type: ignore[misc]
                if name == "urgent"
                else replica.stats()["queue_depth"] == waiting and replica.stats()["in_flight"] == waiting + 1
            ),
            f"{name} arrived",
        )
    release.touch()
    for thread in threads:
        thread.join()
    assert (answers["least"].status, answers["least"].headers["dilu-refused"]) == (429, "displaced")
    assert replica.post("order").json() == ["first", "urgent", "normal", "later"]


def test_each_answer_says_where_its_time_went(shared_function: ServeFunction) -> None:
    replica = sleeping(shared_function)
    timing = replica.post(0.05).headers["server-timing"]
    parts = dict(part.strip().split(";", 1) for part in timing.split(","))
    assert set(parts) == {"queue", "execute", "total"}
    assert parts["execute"].endswith('desc="batch of 1"')
    assert float(parts["execute"].split(";")[0].removeprefix("dur=")) >= 50
    assert "total" in replica.post("x").headers["server-timing"]
