"""What a run measured: one record for each request that was due."""

from __future__ import annotations

from dataclasses import dataclass

from dilu.load.plan import LoadPlan

INTERRUPTED = "interrupted"  # the run was ended while this request waited for its turn or its answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request; its times are in seconds from the start of the run."""

    index: int
    request_id: str
    due_s: float
    sent_s: float | None  # None: the run was ended before its turn came
    finished_s: float  # the last byte of the answer, the error, or the end of the run
    status: int | None = None  # None: no answer began
    error: str | None = None  # None: the answer came in full; else a short word such as `refused` or `timeout`
    received_bytes: int = 0

    @property
    def ok(self) -> bool:
        """Whether a full answer with a 2xx status came."""
        return self.error is None and self.status is not None and 200 <= self.status < 300

    @property
    def interrupted(self) -> bool:
        """Whether the run was ended before this request came to its own end."""
        return self.error == INTERRUPTED

    @property
    def latency_s(self) -> float:
        """From the time it was due: what a caller feels who does not wait for other callers."""
        return self.finished_s - self.due_s

    @property
    def service_s(self) -> float:
        """From the time it was sent: what a generator would report that waits for its turn unseen."""
        return self.finished_s - self.sent_s if self.sent_s is not None else 0.0

    @property
    def lag_s(self) -> float:
        """How long after its time it was sent (or, if it never was, how long it waited for that)."""
        return (self.finished_s if self.sent_s is None else self.sent_s) - self.due_s


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """All records of a run, in the order in which they were due."""

    plan: LoadPlan
    records: tuple[Record, ...]
    started_unix_s: float  # wall time of the start, to lay records beside what others recorded
    elapsed_s: float  # to the end of the arrivals and of the last request, or to the interruption
    slot_waits: int = 0  # requests that waited because `max_in_flight` were in flight
    stopped: bool = False  # ended by the caller before its time
