"""The CloudEvent behind a request, which a handler reads as `ctx.event`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

SPEC_VERSION = "1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The attributes of a CloudEvent 1.0; its data is the item that the handler gets.

    Two events with equal `source` and `id` are the same event: a sender that got no answer sends it again.
    """

    id: str
    source: str
    type: str
    subject: str | None = None
    time: datetime | None = None  # always with a time zone, as RFC 3339 requires
    dataschema: str | None = None
    datacontenttype: str | None = None  # None: JSON
    extensions: Mapping[str, str | int | bool] = field(default_factory=dict)  # every value is a str in binary mode
