"""Reports have the bytes that Knative's own have, and what is broken is told apart from what is new."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.knative.reports.sampling import load_of, sample_size
from dilu_autoscaler.knative.reports.stats import Stat, read_frame, read_stat, write_frame

POKE = bytes.fromhex(
    "0a3a0a0764656661756c74120b68656c6c6f2d30303030311a220a0e616374697661746f722d3763396411000000000000f03f21000000000000f03f"
)
ACTIVATOR = bytes.fromhex(
    "0a3f0a0e746573742d6e616d657370616365120d746573742d7265766973696f6e1a1e"
    "0a0a616374697661746f723111cdcccccccccc0040210000000000804940"
)
QUEUE_PROXY = bytes.fromhex(
    "0a1a68656c6c6f2d30303030312d6465706c6f796d656e742d61626311000000000000e03f19000000000000d03f21000000000000084029"
    "000000000000f03f310000000000002940"
)


def stat(**values: float | str) -> Stat:
    defaults: dict[str, float | str] = {
        "key": "ns/rev",
        "pod": "pod",
        "concurrency": 0.0,
        "proxied_concurrency": 0.0,
        "requests": 0.0,
        "proxied_requests": 0.0,
        "uptime_s": 0.0,
        "time_s": 0,
    }
    return Stat(**{**defaults, **values})  # type: ignore[arg-type]  # the values are of the fields' types


def test_an_activators_reports_are_read() -> None:
    frame = read_frame(ACTIVATOR, now_s=99.9)
    assert frame is not None
    (one,) = frame.stats
    assert (one.key, one.pod, one.concurrency, one.requests, one.time_s) == (
        "test-namespace/test-revision",
        "activator1",
        2.1,
        51.0,
        99,
    )


def test_reports_about_what_cannot_be_named_so_are_skipped() -> None:
    """Who sends them wants names to be remembered that are a megabyte long."""
    longest, too_long = "n" * 253, "n" * 254
    keys = (f"ns/{longest}", f"ns/{too_long}", f"{too_long}/rev")
    frame = read_frame(write_frame([stat(key=key, pod="p" * 10_000) for key in keys]), now_s=1.0)
    assert frame is not None
    assert [one.key for one in frame.stats] == [keys[0]]
    assert len(frame.stats[0].pod) == 253
    assert frame.skipped == 2


def test_reports_are_written_as_knative_writes_them() -> None:
    poke = stat(key="default/hello-00001", pod="activator-7c9d", concurrency=1.0, requests=1.0)
    assert write_frame([poke]) == POKE


def test_a_queue_proxys_report_says_what_no_activator_did() -> None:
    one = read_stat(QUEUE_PROXY, "ns/hello", now_s=1.0)
    assert one is not None
    assert (one.pod, one.uptime_s) == ("hello-00001-deployment-abc", 12.5)
    load = load_of([one], 1)
    assert load is not None
    assert (load.concurrency, load.rps) == (0.25, 2.0)


def test_a_report_without_contents_is_skipped() -> None:
    frame = read_frame(b"\x0a\x09\x0a\x02ns\x12\x03rev" + POKE, now_s=1.0)
    assert frame is not None
    assert (len(frame.stats), frame.skipped) == (1, 1)


def test_what_is_no_message_is_none() -> None:
    assert read_frame(b"\xff\xff\xff", now_s=1.0) is None
    assert read_stat(b"<html>", "ns/rev", now_s=1.0) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read_frame(data, now_s=1.0)
    read_stat(data, "ns/rev", now_s=1.0)


def test_as_many_pods_are_asked_as_by_knative() -> None:
    pods = [0, 1, 2, 3, 4, 5, 10, 20, 50, 100, 1000]
    assert [sample_size(one) for one in pods] == [0, 1, 2, 3, 4, 4, 7, 9, 12, 14, 16]


def test_some_answers_stand_for_all_pods() -> None:
    three = [stat(concurrency=value, requests=count) for value, count in [(3.0, 5.0), (5.0, 7.0), (3.0, 5.0)]]
    load = load_of(three, 3)
    assert load is not None
    assert (load.concurrency, load.rps) == (11.0, 17.0)
    four = load_of([stat(concurrency=4.0)] * 4, 5)
    assert four is not None
    assert four.concurrency == 20.0
    assert load_of([], 3) is None
