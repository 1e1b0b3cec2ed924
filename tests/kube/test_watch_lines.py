"""A watch's stream is cut into lines and read, whatever comes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_kube.decoding import Lines, WatchEvent, read_event, read_page
from dilu_kube.errors import Gone, KubeError, Refused
from dilu_kube.objects import ConfigMap, Meta, Pod
from kube.fake_api_server import config_map, line, status


@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(1, 30)))
def test_lines_do_not_depend_on_how_the_stream_is_cut(wanted: list[bytes], sizes: list[int]) -> None:
    wanted = [one.replace(b"\n", b"") for one in wanted]
    data = b"".join(one + b"\n" for one in wanted) + b"rest"
    lines = Lines()
    found: list[bytes] = []
    for size in [*sizes, len(data)]:
        found += lines.feed(data[:size])
        data = data[size:]
    assert found == [one for one in wanted if one]
    assert lines.pending_bytes == len(b"rest")


def test_a_line_without_end_is_noticed() -> None:
    lines = Lines()
    for _ in range(64):
        lines.feed(b"x" * 2**20)
        assert not lines.is_too_long
    lines.feed(b"x")
    assert lines.is_too_long


def read(data: bytes) -> WatchEvent[ConfigMap]:
    return read_event("/x", data.rstrip(b"\n"), ConfigMap)


def test_an_event_is_read_into_its_kind() -> None:
    event = read(line("ADDED", config_map("a", 7, key="value")))
    assert (event.kind, event.resource_version, event.broken) == ("ADDED", "7", None)
    assert event.object is not None
    assert event.object.data == {"key": "value"}
    assert event.object.metadata.key == "ns/a"


def test_a_bookmark_brings_a_version() -> None:
    event = read_event("/x", line("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "9"}}), Pod)
    assert (event.kind, event.resource_version) == ("BOOKMARK", "9")


@pytest.mark.parametrize(
    ("said", "wanted", "message"),
    [
        (
            status(410, "Expired", "too old: 1 (2)"),
            Gone,
            "watch /x: 410 too old: 1 (2)",
        ),
        (
            status(504, "Timeout", "Too large resource version", causes=[{"reason": "ResourceVersionTooLarge"}]),
            Gone,
            "watch /x: 504 Too large resource version",
        ),
        (status(500, "InternalError", "etcd is away"), Refused, "watch /x: 500 etcd is away"),
        ({"metadata": {}}, Refused, "watch /x: 500 (no message)"),
        ("nonsense", Refused, "watch /x: 500 "),
    ],
)
@pytest.mark.parametrize("kind", [ConfigMap, Pod])
def test_an_error_event_is_raised(said: object, wanted: type[KubeError], message: str, kind: type[ConfigMap]) -> None:
    with pytest.raises(wanted) as caught:
        read_event("/x", line("ERROR", said), kind)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"type": "ADDED"}', b'{"type": 1, "object": {}}', b"<html>"]
)
def test_a_line_that_is_no_event_says_so(data: bytes) -> None:
    with pytest.raises(Refused, match="watch /x: a line is not an event"):
        read(data)


def test_an_object_of_another_form_is_told_with_its_name() -> None:
    strange = config_map("a", 7) | {"data": {"key": 5}}
    event = read(line("MODIFIED", strange))
    assert event.object is None
    assert event.resource_version == "7"
    assert event.broken is not None
    assert event.broken.metadata.key == "ns/a"
    assert "Expected `str`, got `int`" in event.broken.error


def test_an_object_without_readable_metadata_moves_nothing() -> None:
    event = read(line("MODIFIED", {"metadata": 5}))
    assert (event.object, event.resource_version) == (None, "")
    assert event.broken is not None
    assert event.broken.metadata == Meta()


def test_a_page_keeps_what_can_be_read_of_it() -> None:
    strange = config_map("b", 7) | {"data": []}
    page = {"metadata": {"resourceVersion": "9", "continue": "more"}, "items": [config_map("a", 6), strange]}
    found, broken = read_page("/x", json.dumps(page).encode(), ConfigMap)
    assert [one.metadata.name for one in found.items or ()] == ["a"]
    assert [one.metadata.name for one in broken] == ["b"]
    assert (found.metadata.resource_version, found.metadata.resume) == ("9", "more")


def test_a_list_may_have_null_for_no_items() -> None:
    found, broken = read_page("/x", b'{"metadata": {"resourceVersion": "9"}, "items": null}', ConfigMap)
    assert (found.items, broken) == (None, [])


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b'{"items": 5, "metadata": {}}'])
def test_what_is_no_list_says_so(data: bytes) -> None:
    with pytest.raises(Refused, match="list /x: the answer is not a list"):
        read_page("/x", data, ConfigMap)
