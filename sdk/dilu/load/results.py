"""The result of a run: one record for each request that was due."""

from __future__ import annotations

from dataclasses import dataclass

from dilu.load.plan import LoadPlan

INTERRUPTED = "interrupted"  # the run ended while this request waited to be sent or for its answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request; its times are in seconds from the start of the run."""

    index: int
    request_id: str
    due_s: float
    sent_s: float | None  # None: the run ended before it was sent
    finished_s: float  # the last byte of the answer, the error, or the end of the run
    status: int | None = None  # None: no answer
    error: str | None = None  # None: a complete answer; else a short word such as `refused` or `timeout`
    received_bytes: int = 0

    @property
    def ok(self) -> bool:
        """Whether there was a complete answer with a 2xx status."""
        return self.error is None and self.status is not None and 200 <= self.status < 300

    @property
    def interrupted(self) -> bool:
        """Whether the run ended before this request."""
        return self.error == INTERRUPTED

    @property
    def latency_s(self) -> float:
        """The time since it was due: what an independent caller would see."""
        return self.finished_s - self.due_s

    @property
    def service_s(self) -> float:
        """The time since it was sent: what a closed-loop generator would report."""
        return self.finished_s - self.sent_s if self.sent_s is not None else 0.0

    @property
    def lag_s(self) -> float:
        """The delay between the due time and sending (if it was never sent, the time that it waited)."""
        return (self.finished_s if self.sent_s is None else self.sent_s) - self.due_s


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """All records of a run, in the order of their due times."""

    plan: LoadPlan
    records: tuple[Record, ...]
    started_unix_s: float  # wall time of the start, to compare records with other logs
    elapsed_s: float  # to the end of the arrivals and of the last request, or to the interruption
    slot_waits: int = 0  # requests that waited because `max_in_flight` were in flight
    stopped: bool = False  # ended early by the caller
