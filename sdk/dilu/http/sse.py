"""Server-sent events: the framing of streamed answers."""

from __future__ import annotations

CONTENT_TYPE = b"text/event-stream"


def event(data: bytes, *, name: bytes | None = None) -> bytes:
    """Return the bytes of one event. `data` must be one line, as JSON is: it escapes line breaks."""
    if name is None:
        return b"data: %b\n\n" % data
    return b"event: %b\ndata: %b\n\n" % (name, data)
