"""CloudEvents in HTTP messages, with the `cloudevents` package as the other side."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cloudevents.core.bindings.http import (
    HTTPMessage,
    from_binary_event,
    from_structured_event,
    to_binary_event,
    to_structured_event,
)
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from dilu.errors import RequestError
from dilu.http.call_headers import CallHeaders
from dilu.runtime.protocols.event_messages import (
    NO_DATA,
    EventMessage,
    binary_headers,
    read_message,
    structured_body,
)
from protocols.outcomes import outcome

REQUIRED = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/shop", "ce-type": "dev.sale"}
STRUCTURED = {"content-type": "application/cloudevents+json"}
EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "dev.sale"}


def raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def binary(body: bytes = b"", **headers: str) -> EventMessage:
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_message(raw({**REQUIRED, **more}), body)


def structured(event: Any) -> EventMessage:
    return read_message(raw(STRUCTURED), event if isinstance(event, bytes) else json.dumps(event).encode())


def refusal(headers: dict[str, str], body: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read_message(raw(headers), body)
    return caught.value


@pytest.mark.parametrize(
    ("headers", "is_event"),
    [
        (REQUIRED, True),
        ({"ce-id": "1"}, True),  # badly formed, and to be told so
        (STRUCTURED, True),
        ({"content-type": "Application/CloudEvents-batch+json; charset=utf-8"}, True),
        ({"content-type": "application/json"}, False),
        ({"host": "a", "cache-control": "b"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_a_request_says_whether_it_carries_an_event(headers: dict[str, str], is_event: bool) -> None:
    assert CallHeaders(raw(headers)).is_cloud_event is is_event


@pytest.mark.parametrize(
    ("content_type", "body", "data"),
    [
        ("application/json", b'{"a": 1}', {"a": 1}),
        ("application/json", b"null", None),
        ("application/vnd.shop+json; charset=UTF-8", b"[1]", [1]),
        ("text/json", b"1", 1),
        ("text/plain", "é".encode(), "é"),
        ('text/plain; charset="utf-8"', b"a", "a"),
        ("application/octet-stream", b"\xff", b"\xff"),
        ("image/png", b"{}", b"{}"),
        ("application/json", b"", NO_DATA),
    ],
    ids=lambda value: str(value).partition(" at 0x")[0],
)
def test_the_content_type_says_what_the_data_are(content_type: str, body: bytes, data: Any) -> None:
    message = binary(body, content_type=content_type)
    assert message.data is data or message.data == data
    assert message.event.datacontenttype == content_type
    encoded = {**EVENT, "datacontenttype": content_type, "data_base64": base64.b64encode(body).decode()}
    if body:
        assert structured(encoded).data == data


def test_without_a_content_type_the_data_are_json() -> None:
    assert binary(b'"a"').data == "a"
    assert structured({**EVENT, "data": "a"}).data == "a"


def test_data_in_structured_mode_are_taken_as_they_stand() -> None:
    assert structured({**EVENT, "data": {"a": [1, None]}}).data == {"a": [1, None]}
    assert structured({**EVENT, "data": None}).data is None
    assert structured(EVENT).data is NO_DATA
    assert structured({**EVENT, "datacontenttype": "text/plain", "data": "é"}).data == "é"
    assert structured({**EVENT, "subject": None, "data": 1}).event.subject is None  # null is unset


def test_header_values_are_unquoted_and_decoded() -> None:
    message = binary(ce_subject="%E2%82%AC%20%25", ce_key='"a \\"b\\""')
    assert message.event.subject == "€ %"
    assert message.event.extensions == {"key": 'a "b"'}


REFUSED: list[tuple[dict[str, str], bytes, int, str, str]] = [
    (REQUIRED, b"{", 400, "data", "not JSON"),
    (REQUIRED, b"NaN", 400, "data", "not JSON"),
    (REQUIRED, b"[" * 100_000, 400, "data", "nests too deeply"),
    (REQUIRED, b"\xff", 400, "data", "not JSON"),
    ({**REQUIRED, "content-type": "text/plain"}, b"\xff", 400, "data", "not UTF-8"),
    ({**REQUIRED, "content-type": "text/plain; charset=utf-16"}, b"a", 400, "datacontenttype", "only UTF-8"),
    ({**REQUIRED, "content-type": "nonsense"}, b"a", 400, "datacontenttype", "media type"),
    ({**REQUIRED, "ce-subject": "%FF"}, b"1", 400, "subject", "not UTF-8"),
    ({**REQUIRED, "ce-id": ""}, b"1", 400, "id", "is empty"),
    ({"ce-id": "1"}, b"1", 400, "specversion", "is required"),
    (STRUCTURED, b"", 400, "$", "empty"),
    (STRUCTURED, b"{", 400, "$", "not JSON"),
    (STRUCTURED, b"[]", 400, "$", "must be a JSON object"),
    (STRUCTURED, b"[" * 100_000, 400, "$", "nests too deeply"),
    (STRUCTURED, b"{}", 400, "specversion", "is required"),
    (
        STRUCTURED,
        json.dumps({**EVENT, "data": 1, "data_base64": "AA=="}).encode(),
        400,
        "data_base64",
        "together with data",
    ),
    (STRUCTURED, json.dumps({**EVENT, "data_base64": "A"}).encode(), 400, "data_base64", "Base64"),
    (STRUCTURED, json.dumps({**EVENT, "data_base64": 3}).encode(), 400, "data_base64", "Base64"),
    (STRUCTURED, json.dumps({**EVENT, "data_base64": "\u00e9"}).encode(), 400, "data_base64", "Base64"),
    (STRUCTURED, json.dumps({**EVENT, "data_base64": "ew=="}).encode(), 400, "data", "not JSON"),
    ({"content-type": "application/cloudevents-batch+json"}, b"[]", 415, "content-type", "batches"),
    (
        {"content-type": "application/cloudevents+xml"},
        b"",
        415,
        "content-type",
        "format of events is application/cloudevents+json",
    ),
    (
        {"content-type": "application/cloudevents"},
        b"{}",
        415,
        "content-type",
        "format of events is application/cloudevents+json",
    ),
    ({"content-type": "application/cloudevents+json; charset=utf-16"}, b"{}", 415, "content-type", "UTF-8"),
]


@pytest.mark.parametrize(("headers", "body", "status", "field", "message"), REFUSED, ids=lambda one: str(one)[-40:])
def test_a_broken_event_is_refused_naming_the_attribute(
    headers: dict[str, str], body: bytes, status: int, field: str, message: str
) -> None:
    error = refusal(headers, body)
    assert (error.status, error.field) == (status, field)
    assert message in str(error)


def test_an_attribute_may_be_there_once() -> None:
    with pytest.raises(RequestError, match="id: occurs twice"):
        read_message([*raw(REQUIRED), (b"ce-id", b"2")], b"1")


def test_the_content_type_goes_before_a_header_of_that_attribute() -> None:
    assert binary(b"1", ce_datacontenttype="text/plain", content_type="application/json").data == 1


# -- the package as the other side

_texts = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=10)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=5,
)


def sent(subject: str, data: Any, content_type: str = "application/json") -> CloudEvent:
    attributes = {**EVENT, "subject": subject, "datacontenttype": content_type, "key": subject}
    return CloudEvent(attributes, data)


@given(_texts, st.dictionaries(st.text(st.characters(codec="utf-8")), _json, max_size=3))
def test_events_that_the_package_writes_are_read(subject: str, data: dict[str, Any]) -> None:
    for write in (to_binary_event, to_structured_event):
        message = write(sent(subject, data))
        read = read_message(raw(message.headers), message.body)
        assert (read.event.id, read.event.subject, read.event.extensions) == ("1", subject, {"key": subject})
        assert read.data == data


@given(st.binary(min_size=1, max_size=20))
def test_bytes_that_the_package_writes_are_read(data: bytes) -> None:
    for write in (to_binary_event, to_structured_event):
        message = write(sent("s", data, "application/octet-stream"))
        assert read_message(raw(message.headers), message.body).data == data


@given(_texts, st.dictionaries(st.text(st.characters(codec="utf-8")), _json, max_size=3))
def test_events_that_we_write_are_read_by_the_package(cause: str, data: dict[str, Any]) -> None:
    attributes = {"id": "r1", "source": "/functions/f", "type": "dev.dilu.f.result", "causationid": cause}
    body = json.dumps(data).encode()
    headers = {name.decode(): value.decode() for name, value in binary_headers(attributes)}
    answers = [
        from_binary_event(HTTPMessage({**headers, "content-type": "application/json"}, body)),
        from_structured_event(HTTPMessage(STRUCTURED, structured_body(attributes, body))),
    ]
    for event in answers:
        assert (event.get_id(), event.get_source(), event.get_type()) == ("r1", "/functions/f", "dev.dilu.f.result")
        assert event.get_extension("causationid") == cause
        assert event.get_data() == data


@given(
    st.dictionaries(st.sampled_from([*REQUIRED, "ce-time", "ce-a_b", "content-type", "ce-x"]), st.binary(max_size=20)),
    st.booleans(),
    st.binary(max_size=50),
)
def test_any_message_is_an_event_or_a_refusal(headers: dict[str, bytes], complete: bool, body: bytes) -> None:
    given_headers = {**{name: value.encode() for name, value in REQUIRED.items()}, **headers} if complete else headers
    found = outcome(lambda: read_message([(name.encode(), value) for name, value in given_headers.items()], body))
    if isinstance(found, RequestError):
        assert found.status in (400, 415)
        assert found.field is not None
