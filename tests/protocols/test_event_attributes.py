"""The attributes of CloudEvents: what is accepted, and which one an error names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.errors import RequestError
from dilu.events import Event
from dilu.runtime.protocols.event_attributes import event_of
from protocols.outcomes import outcome

GOOD: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "dev.sale"}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    *((without(name), name, "is required") for name in GOOD),
    *(({**GOOD, name: ""}, name, "is empty") for name in ("id", "source", "type", "subject", "dataschema")),
    *(({**GOOD, name: 3}, name, "must be a string") for name in ("id", "source", "type", "subject")),
    ({**GOOD, "specversion": "0.3"}, "specversion", "'0.3', must be '1.0'"),
    ({**GOOD, "specversion": 1.0}, "specversion", "must be '1.0'"),
    ({**GOOD, "specversion": "1.0 "}, "specversion", "must be '1.0'"),
    ({**GOOD, "id": "a\nb"}, "id", "control characters"),
    ({**GOOD, "source": "a b"}, "source", "URI reference"),
    ({**GOOD, "dataschema": "/relative"}, "dataschema", "absolute URI"),
    ({**GOOD, "datacontenttype": "json"}, "datacontenttype", "media type"),
    ({**GOOD, "datacontenttype": "a/b/c"}, "datacontenttype", "media type"),
    ({**GOOD, "datacontenttype": ["a/b"]}, "datacontenttype", "must be a string"),
    *(
        ({**GOOD, "time": time}, "time", "RFC 3339")
        for time in (
            "", "yesterday", 3, "2026-11-24", "2026-11-24T09:30:00", "2026-13-24T09:30:00Z", "20261124T093000Z",
            "2026-11-24T25:00:00Z", "2026-11-24 09:30:00Z", "٢٠٢٦-11-24T09:30:00Z", "2026-11-24T09:30:00+25:00",
        )
    ),
    ({**GOOD, "my_key": "a"}, "my_key", "not an attribute's name"),
    ({**GOOD, "Key": "a"}, "Key", "not an attribute's name"),
    ({**GOOD, "": "a"}, "", "not an attribute's name"),
    ({**GOOD, "data": "a"}, "data", "not an attribute's name"),
    ({**GOOD, "key": 2**31}, "key", "32 bits"),
    ({**GOOD, "key": 10**500}, "key", "a large number"),
    ({**GOOD, "key": 1.5}, "key", "32 bits"),
    ({**GOOD, "key": {"a": 10**5000}}, "key", "a value of the type dict"),
]  # fmt: skip


def test_all_attributes_are_read() -> None:
    event = event_of(
        {
            **GOOD,
            "subject": "cart",
            "time": "2026-11-24T09:30:00.123456789Z",
            "dataschema": "https://example.org/s",
            "datacontenttype": 'application/json; charset="utf-8"',
            "key": "v",
            "flag": True,
            "count": -5,
            "empty": "",
        }
    )
    assert event == Event(
        id="1",
        source="/shop",
        type="dev.sale",
        subject="cart",
        time=datetime(2026, 11, 24, 9, 30, 0, 123456, UTC),
        dataschema="https://example.org/s",
        datacontenttype='application/json; charset="utf-8"',
        extensions={"key": "v", "flag": True, "count": -5, "empty": ""},
    )


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-24t09:30:00z", datetime(2026, 11, 24, 9, 30, tzinfo=UTC)),
        ("2026-11-24T09:30:00.5+02:00", datetime(2026, 11, 24, 9, 30, 0, 500000, timezone(timedelta(hours=2)))),
        ("2026-11-24T09:30:00-00:00", datetime(2026, 11, 24, 9, 30, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),  # a leap second
    ],
)
def test_times_of_rfc_3339_are_read(text: str, time: datetime) -> None:
    assert event_of({**GOOD, "time": text}).time == time


@pytest.mark.parametrize(
    ("attributes", "field", "message"), REFUSED, ids=lambda one: one if isinstance(one, str) else ""
)
def test_a_bad_attribute_is_named(attributes: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        event_of(attributes)
    assert (caught.value.status, caught.value.field) == (400, field)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 250


_names = st.sampled_from(["id", "source", "type", "specversion", "time", "dataschema", "datacontenttype", "subject"])
_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers())


@given(st.dictionaries(_names | st.text(max_size=5), _values), st.booleans())
def test_any_attributes_are_an_event_or_a_refusal(attributes: dict[str, Any], complete: bool) -> None:
    event = outcome(lambda: event_of({**GOOD, **attributes} if complete else attributes))
    if isinstance(event, RequestError):
        assert (event.status, event.field is not None) == (400, True)
        return
    assert event.id
    assert event.source
    assert event.type
    assert event.time is None or event.time.tzinfo is not None


@given(st.datetimes(timezones=st.timezones()))
def test_every_time_that_python_writes_is_read(time: datetime) -> None:
    offset = time.utcoffset()
    if offset is None or offset % timedelta(minutes=1):
        return  # RFC 3339 has offsets of whole minutes
    read = event_of({**GOOD, "time": time.isoformat()}).time
    assert read is not None
    assert read.isoformat() == time.isoformat()
