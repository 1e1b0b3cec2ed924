"""Language models: prompts, then tokens; latency is time per output token."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.errors import ConfigError
from dilu.load.arrivals import RecordedArrivals, constant, poisson
from dilu_simulator.arrivals import FixedTokens, LognormalTokens, RecordedTokens, Tokens
from dilu_simulator.results import FunctionResult
from dilu_simulator.run import run_scenario
from simulator.scenes import LLAMA, alone

LIMIT = 0.6


def step_ms(active: int, share: float = LIMIT) -> float:
    return LLAMA.curve.execution_ms(active, share)


def prefill_ms(tokens: int, share: float = LIMIT) -> float:
    assert LLAMA.llm is not None
    return LLAMA.llm.prefill.execution_ms(tokens, share)


def run(times: tuple[float, ...], *counts: tuple[int, int], batch: int = 8) -> FunctionResult:
    tokens = RecordedTokens(counts=tuple(Tokens(*count) for count in counts))
    scenario = alone(RecordedArrivals(at_s=times), duration_s=30.0, model=LLAMA, batch=batch, tokens=tokens)
    return run_scenario(scenario).function("alone")


@pytest.mark.parametrize(("prompt", "output"), [(128, 32), (4000, 1), (1, 200)])
def test_one_request_takes_its_prompt_and_a_step_for_each_token(prompt: int, output: int) -> None:
    expected_ms = (prefill_ms(prompt) + output * step_ms(1)) / output
    assert run((1.0,), (prompt, output)).mean_ms == pytest.approx(expected_ms, abs=0.01)


def test_who_has_its_last_token_is_answered_and_the_others_go_on_with_fewer() -> None:
    # The first runs alone; the next two wait for it and run together: until 10 tokens both, then one of them.
    first_ms = prefill_ms(100) + 20 * step_ms(1)
    short_ms = first_ms + prefill_ms(50 + 70) + 10 * step_ms(2)
    long_ms = short_ms + 20 * step_ms(1)
    expected_ms = (first_ms / 20 + short_ms / 10 + long_ms / 30) / 3
    result = run((1.0, 1.0, 1.0), (100, 20), (50, 10), (70, 30))
    assert result.mean_ms == pytest.approx(expected_ms, abs=0.01)
    assert result.answered == 3


def test_equal_lengths_end_together() -> None:
    first_ms = prefill_ms(10) + 5 * step_ms(1)
    both_ms = first_ms + prefill_ms(20) + 5 * step_ms(2)
    assert run((1.0, 1.0, 1.0), (10, 5)).mean_ms == pytest.approx((first_ms + 2 * both_ms) / 15, abs=0.01)


def test_no_batch_is_larger_than_the_function_allows() -> None:
    one_ms = prefill_ms(10) + 4 * step_ms(1)
    result = run((1.0, 1.0, 1.0), (10, 4), batch=1)
    assert result.mean_ms == pytest.approx((1 + 2 + 3) * one_ms / 4 / 3, abs=0.01)


def test_a_model_that_waits_longer_than_its_objective_per_token_violates_it() -> None:
    slow = alone(poisson(10, 60), model=LLAMA, tokens=FixedTokens(prompt=128, output=32))
    quick = alone(constant(0.2, 60), model=LLAMA, tokens=FixedTokens(prompt=128, output=32))
    assert run_scenario(slow).function("alone").slo_violation_ratio > 0.5
    assert run_scenario(quick).function("alone").slo_violation_ratio == 0.0


def test_a_batch_beyond_what_was_measured_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch = 32, must be at most 16: LLaMA2-7B was measured up to it"):
        alone(constant(1, 1), model=LLAMA, batch=32)


@given(st.integers(min_value=50, max_value=5000), st.floats(min_value=0.0, max_value=1.0), st.integers())
def test_drawn_counts_have_the_mean_that_is_asked_for(mean: int, cv: float, seed: int) -> None:
    source = LognormalTokens(prompt=mean, output=mean, prompt_cv=cv, output_cv=0.0)
    drawn = list(islice(source.draw(Random(seed)), 2000))
    assert sum(count.prompt for count in drawn) / 2000 == pytest.approx(mean, rel=0.15)
    assert {count.output for count in drawn} == {mean}
