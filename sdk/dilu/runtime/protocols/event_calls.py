"""Runs a function on a CloudEvent: the event's data is the item, the result is the data of the reply."""

from __future__ import annotations

from typing import Any

from dilu.errors import RequestError
from dilu.events import Event
from dilu.http.answers import new_request_id
from dilu.runtime.calls.call import Call
from dilu.runtime.codec import encode_result
from dilu.runtime.protocols.event_attributes import fault
from dilu.runtime.protocols.event_messages import (
    NO_DATA,
    STRUCTURED_JSON,
    EventMessage,
    binary_headers,
    is_json,
    read_message,
    structured_body,
)

_CARRIED = ("correlationid", "traceparent", "tracestate")


async def answer(call: Call) -> None:
    """Do what `cloud_events.answer_event` promises."""
    message = read_message(call.headers, await call.body())
    call.event = message.event
    (result,) = await call.run([_item(message, call)])
    data = encode_result(result)
    attributes = _reply(message.event, call.service.definition.spec.name)
    if message.is_structured:
        await call.answer(structured_body(attributes, data), content_type=STRUCTURED_JSON)
    else:
        await call.answer(data, headers=binary_headers(attributes))


def _item(message: EventMessage, call: Call) -> Any:
    """Decode the item from the data. Raise `RequestError` that names the invalid attribute."""
    data, content_type = message.data, message.event.datacontenttype
    if data is NO_DATA:
        try:
            return call.decode(None)
        except RequestError:
            raise fault("data", "is missing, but the function requires it") from None
    try:
        return call.decode(data)
    except RequestError as error:
        if not is_json(content_type):
            message_ = f"{content_type!r}: the function does not accept such data ({error})"
            raise fault("datacontenttype", message_) from None
        place = "" if error.field is None else error.field.removeprefix("$")
        raise RequestError(error.status, error.code, str(error), field=f"data{place}") from None


def _reply(event: Event, function: str) -> dict[str, str]:
    attributes = {
        "id": new_request_id(),
        "source": f"/functions/{function}",
        "type": f"dev.dilu.{function}.result",
        "causationid": event.id,
    }
    for name in _CARRIED:
        value = event.extensions.get(name)
        if isinstance(value, str):
            attributes[name] = value
    return attributes
