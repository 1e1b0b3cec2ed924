"""A call of the function by a CloudEvent, answered with one.

The data is the item: JSON by its type, other text as `str`, anything else as `bytes`. The reply is of the request's
content mode, with status 200, since Knative sends replies on only then. It has a new id and says what caused it:

    id            a new one
    source        /functions/NAME
    type          dev.dilu.NAME.result
    causationid   the id of the event that was handled
    correlationid, traceparent, tracestate: as they came

Bad events are 400 with the attribute in `field`, for which senders give up. Refusals (429, 503) they send again.
"""

from __future__ import annotations

from dilu.runtime.calls.call import Call


async def answer_event(call: Call) -> None:
    """Run the function on the event that `call` carries and answer with its result as an event.

    Raises `RequestError`: 400 for what is no event, 415 for batches and other formats, and what `Call.run` raises.
    """
    from dilu.runtime.protocols.event_calls import answer  # at the first event: most replicas never get one

    await answer(call)
