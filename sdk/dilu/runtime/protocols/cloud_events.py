"""Calls of a function by a CloudEvent, which are answered with an event.

The data is the item: JSON as its type, other text as `str`, anything else as `bytes`. The reply has the content mode
of the request and status 200, because Knative forwards replies only then. Its attributes:

    id            a new one
    source        /functions/NAME
    type          dev.dilu.NAME.result
    causationid   the id of the event that was handled
    correlationid, traceparent, tracestate: copied from the event

Invalid events are answered with 400 and the attribute in `field`: senders do not repeat them. Refusals (429, 503) are
repeated by the sender.
"""

from __future__ import annotations

from dilu.runtime.calls.call import Call


async def answer_event(call: Call) -> None:
    """Run the function on the event that `call` carries, and answer with its result as an event.

    Raise `RequestError`: 400 for an invalid event, 415 for batches and other formats, and what `Call.run` raises.
    """
    from dilu.runtime.protocols.event_calls import answer  # imported at the first event: most replicas never get one

    await answer(call)
