"""What a run is asked to send: payloads, headers, shapes, and what is refused."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from dilu.errors import ConfigError
from dilu.load.arrivals import RateArrivals, RecordedArrivals, constant, poisson
from dilu.load.plan import LoadPlan, parse_header, read_payloads
from dilu.load.rates import Flat, Wave
from dilu.load.shapes import ShapeOptions, arrivals_of


def plan(**changes: Any) -> LoadPlan:
    return LoadPlan(**{"url": "http://h:1/x?y=1", "arrivals": constant(1, 1), **changes})


def test_payloads_cycle_in_their_order() -> None:
    assert list(islice(plan(payloads=(b"1", b"2")).bodies(), 5)) == [b"1", b"2", b"1", b"2", b"1"]


def test_random_payloads_follow_the_seed() -> None:
    def drawn(seed: int) -> list[bytes | None]:
        return list(islice(plan(payloads=(b"1", b"2", b"3"), payload_order="random", seed=seed).bodies(), 50))

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert set(drawn(1)) == {b"1", b"2", b"3"}


def test_the_order_of_payloads_does_not_change_the_times() -> None:
    cycled = plan(arrivals=poisson(10, 5), payloads=(b"1", b"2"))
    drawn = plan(arrivals=poisson(10, 5), payloads=(b"1", b"2"), payload_order="random")
    assert list(cycled.due_times_s()) == list(drawn.due_times_s())


def test_the_method_follows_from_the_payload() -> None:
    assert plan().verb == "GET"
    assert plan(payloads=(b"1",)).verb == "POST"
    assert plan(payloads=(b"1",), method="PUT").verb == "PUT"


def test_payload_files_hold_one_json_value_a_line(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('"é"\n\n {"a": [1, 2]} \n', encoding="utf-8")
    assert read_payloads(path) == ('"é"'.encode(), b'{"a": [1, 2]}')
    path.write_text('"a"\n{"a":\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"texts\.jsonl:2: not JSON"):
        read_payloads(path)
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="no values, must have one JSON value per line"):
        read_payloads(path)


def test_a_header_is_a_name_and_a_value() -> None:
    assert parse_header("Authorization:  Bearer a:b ") == ("Authorization", "Bearer a:b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "header 'nothing', must be 'Name: value'"),
        (": x", "header name ''"),
        ("A B: x", "header name 'A B'"),
        ("A: x\r\nB: y", "must hold no control characters"),
        ("x-request-id: 7", "every request gets its own id"),
    ],
)
def test_a_bad_header_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_header(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "localhost:8080"}, "URL 'localhost:8080', must be like http://127.0.0.1:8080/embed"),
        ({"url": "ftp://h/"}, "must be like http"),
        ({"url": "http:///x"}, "must be like http"),
        ({"url": "http://h:99999/"}, "Port out of range"),
        ({"url": "http://h:0/"}, "must be like http"),
        ({"url": "http://h/a b"}, "must be like http"),
        ({"url": ""}, "must be like http"),
        ({"method": "GO AWAY"}, "method = 'GO AWAY', must be an HTTP method"),
        ({"timeout_s": 0.0}, "timeout = 0, must be"),
        ({"timeout_s": float("nan")}, "timeout = nan"),
        ({"max_in_flight": 0}, "max-in-flight = 0, must be 1 or more"),
        ({"slo_ms": 0.0}, "slo-ms = 0, must be"),
        ({"headers": (("a:", "b"),)}, "header name 'a:'"),
    ],
)
def test_a_bad_plan_is_refused_by_value_and_rule(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(**changes)


def test_without_options_ten_requests_a_second_come_for_ten_seconds() -> None:
    assert arrivals_of(ShapeOptions()) == poisson(10, 10)


def test_options_describe_every_shape(tmp_path: Path) -> None:
    trace = tmp_path / "rates.txt"
    trace.write_text("1\n2\n", encoding="utf-8")
    assert arrivals_of(ShapeOptions(rps=5, duration_s=2, cv=3)) == RateArrivals(
        segments=(Flat(rps=5, duration_s=2),), cv=3
    )
    assert arrivals_of(ShapeOptions(periodic="5:50:60", duration_s=120)) == RateArrivals(
        segments=(Wave(low_rps=5, high_rps=50, period_s=60, duration_s=120),)
    )
    assert arrivals_of(ShapeOptions(bursty="0:2,8:1", duration_s=4, arrivals="even")) == RateArrivals(
        segments=(Flat(rps=0, duration_s=2), Flat(rps=8, duration_s=1), Flat(rps=0, duration_s=1)), cv=0
    )
    assert arrivals_of(ShapeOptions(steps="1:2,3:4")).duration_s == 6
    assert arrivals_of(ShapeOptions(steps="1:2,3:4", duration_s=3)).duration_s == 3
    assert arrivals_of(ShapeOptions(trace=str(trace), scale=2)) == RateArrivals(
        segments=(Flat(rps=2, duration_s=1), Flat(rps=4, duration_s=1))
    )


def test_a_trace_of_times_may_be_cut_but_not_spaced(tmp_path: Path) -> None:
    trace = tmp_path / "times.csv"
    trace.write_text("5\n6\n9\n", encoding="utf-8")
    assert arrivals_of(ShapeOptions(trace=str(trace), duration_s=2)) == RecordedArrivals(at_s=(0.0, 1.0))
    with pytest.raises(ConfigError, match="--arrivals and --cv do not apply"):
        arrivals_of(ShapeOptions(trace=str(trace), cv=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ShapeOptions(rps=1, steps="1:1"), "--rps and --steps: only one of them"),
        (ShapeOptions(rps=1, scale=2), "--scale applies to --trace only"),
        (ShapeOptions(cv=2, arrivals="poisson"), "--cv 2 applies to --arrivals gamma, not to poisson"),
        (ShapeOptions(arrivals="gamma"), "--arrivals gamma needs --cv"),
        (ShapeOptions(periodic="1:2"), "--periodic '1:2', must be LOW_RPS:HIGH_RPS:PERIOD_SECONDS"),
        (ShapeOptions(steps=""), "step 1 = ''"),
        (ShapeOptions(duration_s=0), "duration = 0"),
        (ShapeOptions(steps="1:1", duration_s=-1), "duration = -1"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: ShapeOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        arrivals_of(options)


def test_recorded_arrivals_need_no_randomness() -> None:
    arrivals = RecordedArrivals(at_s=(0.0, 2.0))
    assert list(plan(arrivals=arrivals).due_times_s()) == list(arrivals.times_s(Random(9)))
