"""Batches of a language model: the prompts of all, then token by token, until the longest answer is complete.

A request is answered with its last token, as a stream ends for it; the batch continues with fewer. As in the SDK, no
request joins a running batch.
"""

from __future__ import annotations

from dataclasses import dataclass

from dilu_simulator.arrivals.tokens import Tokens
from dilu_simulator.devices.batch_executions import BatchExecution, BatchWork
from dilu_simulator.devices.executions import Usage
from dilu_simulator.event_queue import EventQueue
from dilu_simulator.models.curves import PrefillCurve
from dilu_simulator.replicas import SimulatedRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmWork(BatchWork):
    """What all replicas of a language model have in common; `times` are those of one decode step."""

    prefill: PrefillCurve
    typical: Tokens

    def parts_us(self, prompt_tokens: int, steps: int, active: int, share_milli: int) -> float:
        """Return the time that prompt tokens and then decoding steps take, alone."""
        prefill_us = self.prefill.execution_ms(prompt_tokens, share_milli / 1000) * 1000 if prompt_tokens else 0.0
        return prefill_us + steps * self.times.us(active, share_milli)

    def batch_us(self, size: int, share_milli: int) -> float:
        """Return the duration of a batch of typical requests, alone."""
        return self.parts_us(size * self.typical.prompt, self.typical.output, size, share_milli)

    @property
    def waiting_slo_us(self) -> int | None:
        """Objective of a typical request as a whole."""
        return None if self.slo_us is None else self.slo_us * self.typical.output


class LlmExecution(BatchExecution):
    """A unit of work is a part of a batch: up to the next request that is complete."""

    __slots__ = ("_active", "_llm", "_prompt_tokens", "_shares", "_steps", "_steps_done")

    def __init__(self, events: EventQueue, usage: Usage, work: LlmWork, start_delay_us: int = 0) -> None:
        super().__init__(events, usage, work, start_delay_us)
        self._llm = work
        self._active: list[SimulatedRequest] = []  # longest answer first
        self._prompt_tokens = 0
        self._steps = 0
        self._steps_done = 0
        self._shares: dict[int, float] = {}

    def take_up(self) -> None:
        """See `BatchExecution`."""
        self._active = sorted(self.batch, key=_output, reverse=True)
        self._prompt_tokens = sum(_tokens(request).prompt for request in self.batch)
        self._steps_done = 0
        self._begin_part()

    def _begin_part(self) -> None:
        self._steps = _output(self._active[-1]) - self._steps_done
        self._shares.clear()

    def solo_us(self, share_milli: int) -> float:
        """See `Execution`."""
        known = self._shares.get(share_milli)
        if known is None:
            known = self._llm.parts_us(self._prompt_tokens, self._steps, len(self._active), share_milli)
            self._shares[share_milli] = known
        return known

    def part_done(self) -> bool:
        """See `BatchExecution`."""
        self._steps_done += self._steps
        self._prompt_tokens = 0
        complete = []
        while self._active and _output(self._active[-1]) == self._steps_done:
            complete.append(self._active.pop())
        if not self._active:
            return True
        self._begin_part()
        self.remaining = 1.0
        self.rerate()
        self.answer(complete)
        return False

    def running_slack_us(self, now_us: int, left_us: float) -> float:
        """Return the least slack of the running requests, at the present speed of a step."""
        slo_us, step_us = self._llm.slo_us, self._llm.times.us(len(self._active), self._llm.request_milli)
        assert slo_us is not None, "asked only where there is an objective"
        ends = self._steps_done + self._steps
        return min(
            [
                request.arrived_us + slo_us * _output(request) - now_us - left_us - (_output(request) - ends) * step_us
                for request in self._active
            ]
        )

    def min_us(self) -> float:
        """See `BatchExecution`."""
        work, outputs = self._llm, sorted(_output(request) for request in self.batch)
        min_us, before = 0.0, 0
        prompt_tokens = sum(_tokens(request).prompt for request in self.batch)
        for place, output in enumerate(outputs):
            active = len(outputs) - place
            min_us += work.parts_us(prompt_tokens, output - before, active, work.limit_milli)
            prompt_tokens, before = 0, output
        return min_us


def _tokens(request: SimulatedRequest) -> Tokens:
    assert request.tokens is not None, "requests of language models come with their tokens"
    return request.tokens


def _output(request: SimulatedRequest) -> int:
    return _tokens(request).output
