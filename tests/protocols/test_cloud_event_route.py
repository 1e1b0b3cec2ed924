"""CloudEvents to a real replica, from the `cloudevents` package and from curl."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
from cloudevents.core.bindings.http import (
    HTTPMessage,
    from_http_event,
    to_binary_event,
    to_structured_event,
)
from cloudevents.core.v1.event import CloudEvent

from replica_process import Answer, ReplicaProcess, ServeFunction

SOURCE = """
    from typing import Any

    import dilu

    @dilu.function(name="seen")
    def seen(item: dict[str, int], ctx) -> dict[str, Any]:
        event = ctx.event
        return {"item": item, "event": event and [event.id, event.source, event.type, event.extensions]}
"""
EVENT = {"id": "e1", "source": "/shop", "type": "dev.sale", "specversion": "1.0"}
BINARY = {f"ce-{name}": value for name, value in EVENT.items()}
STRUCTURED = {"content-type": "application/cloudevents+json"}


@pytest.fixture(scope="module")
def replica(serve_shared: ServeFunction) -> ReplicaProcess:
    return serve_shared(SOURCE)


def send(replica: ReplicaProcess, message: Any) -> Any:
    """The package's event of the answer to the package's message."""
    answer = replica.request("POST", "/", message.body, dict(message.headers))
    assert answer.status == 200, answer.body
    return from_http_event(HTTPMessage(answer.headers, answer.body)), answer


@pytest.mark.parametrize("write", [to_binary_event, to_structured_event])
def test_an_event_is_answered_with_one_of_the_same_mode(replica: ReplicaProcess, write: Any) -> None:
    sent = CloudEvent({**EVENT, "datacontenttype": "application/json", "key": "é", "correlationid": "c1"}, {"n": 1})
    reply, answer = send(replica, write(sent))
    is_structured = answer.headers["content-type"] == STRUCTURED["content-type"]
    assert is_structured == (write is to_structured_event)
    assert reply.get_data() == {
        "item": {"n": 1},
        "event": ["e1", "/shop", "dev.sale", {"key": "é", "correlationid": "c1"}],
    }
    assert (reply.get_source(), reply.get_type()) == ("/functions/seen", "dev.dilu.seen.result")
    assert (reply.get_extension("causationid"), reply.get_extension("correlationid")) == ("e1", "c1")
    assert reply.get_specversion() == "1.0"


def test_every_reply_has_an_id_of_its_own(replica: ReplicaProcess) -> None:
    sent = to_binary_event(CloudEvent({**EVENT, "datacontenttype": "application/json"}, {"n": 1}))
    ids = {send(replica, sent)[0].get_id() for _ in range(5)}
    assert len(ids) == 5
    assert "e1" not in ids


def test_a_plain_request_has_no_event(replica: ReplicaProcess) -> None:
    assert replica.post({"n": 1}).json() == {"item": {"n": 1}, "event": None}


def error(answer: Answer) -> tuple[int, str]:
    content = answer.json()["error"]
    assert content["request_id"]
    return answer.status, content["field"]


BROKEN: list[tuple[dict[str, str], bytes, int, str]] = [
    *(({**BINARY, f"ce-{name}": ""}, b'{"n":1}', 400, name) for name in ("id", "source", "type")),
    *(
        ({key: value for key, value in BINARY.items() if key != f"ce-{name}"}, b'{"n":1}', 400, name)
        for name in ("id", "source", "type", "specversion")
    ),
    ({**BINARY, "ce-specversion": "0.3"}, b'{"n":1}', 400, "specversion"),
    ({**BINARY, "ce-time": "noon"}, b'{"n":1}', 400, "time"),
    ({**BINARY, "ce-my_key": "x"}, b'{"n":1}', 400, "my_key"),
    ({**BINARY, "content-type": "json"}, b'{"n":1}', 400, "datacontenttype"),
    ({**BINARY, "content-type": "text/plain"}, b'{"n":1}', 400, "datacontenttype"),
    ({**BINARY, "content-type": "image/png"}, b"\x89PNG", 400, "datacontenttype"),
    (BINARY, b"{", 400, "data"),
    (BINARY, b"", 400, "data"),
    (BINARY, b'{"n":"x"}', 422, "data[...]"),
    (STRUCTURED, b"{", 400, "$"),
    (STRUCTURED, json.dumps(EVENT).encode(), 400, "data"),
    (STRUCTURED, json.dumps({**EVENT, "id": 1, "data": {"n": 1}}).encode(), 400, "id"),
    (STRUCTURED, json.dumps({**EVENT, "data": {"n": "x"}}).encode(), 422, "data[...]"),
    ({"content-type": "application/cloudevents-batch+json"}, b"[]", 415, "content-type"),
]


@pytest.mark.parametrize(("headers", "body", "status", "field"), BROKEN, ids=str)
def test_a_broken_event_is_refused_naming_the_attribute(
    replica: ReplicaProcess, headers: dict[str, str], body: bytes, status: int, field: str
) -> None:
    assert error(replica.request("POST", "/", body, headers)) == (status, field)


def test_texts_and_bytes_are_items_of_functions_that_take_them(serve_function: ServeFunction) -> None:
    texts = serve_function("import dilu\n@dilu.function\ndef f(x: str) -> int:\n    return len(x)")
    data = serve_function("import dilu\n@dilu.function\ndef f(x: bytes) -> int:\n    return len(x)")
    answer = texts.request("POST", "/", "éa".encode(), {**BINARY, "content-type": "text/plain; charset=utf-8"})
    assert (answer.status, answer.json()) == (200, 2)
    answer = data.request("POST", "/", b"\xff\x00", {**BINARY, "content-type": "application/octet-stream"})
    assert (answer.status, answer.json()) == (200, 2)
    event = json.dumps({**EVENT, "datacontenttype": "image/png", "data_base64": "/wA="}).encode()
    assert data.request("POST", "/", event, STRUCTURED).json()["data"] == 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_sends_an_event_and_gets_one(replica: ReplicaProcess) -> None:
    headers = [part for name, value in BINARY.items() for part in ("-H", f"{name}: {value}")]
    done = subprocess.run(
        ["curl", "-sS", "-i", "--max-time", "20", *headers, "--json", '{"n": 1}', f"http://127.0.0.1:{replica.port}/"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    head, _, body = done.stdout.partition("\n\n")
    assert "200 OK" in head.splitlines()[0]
    assert "ce-causationid: e1" in head
    assert json.loads(body)["item"] == {"n": 1}
