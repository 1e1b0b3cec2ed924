"""GPUs that are shared, against what can be worked out by hand."""

from __future__ import annotations

import pytest

from dilu.load.arrivals import RecordedArrivals, constant, poisson
from dilu_autoscaler.policy.horizontal import Decision, Observation, Policy
from dilu_autoscaler.policy.vertical import Grants, VerticalInputs, VerticalPolicy, VerticalState
from dilu_simulator.arrivals import FixedTokens
from dilu_simulator.models import MODELS, co_running
from dilu_simulator.results import TrainingResult
from dilu_simulator.run import run_scenario
from dilu_simulator.scenario import ClusterSize, Scenario, TrainingJob
from simulator.scenes import BERT, LLAMA, RESNET, ROBERTA, alone, function


@pytest.mark.parametrize(("vertical", "share"), [("exclusive", 1.0), ("static-limit", 0.6), ("static-request", 0.3)])
@pytest.mark.parametrize("name", ["ResNet152", "VGG19", "BERT-base", "RoBERTa-large", "GPT2-large"])
def test_a_batch_at_a_fixed_share_takes_what_the_curve_says(name: str, vertical: str, share: float) -> None:
    # Four at once: the first runs alone, the other three together after it.
    model = MODELS[name]
    scenario = alone(
        RecordedArrivals(at_s=(1.0, 1.0, 1.0, 1.0)),
        duration_s=3.0,
        model=model,
        batch=4,
        sm_request=300,
        sm_limit=600,
        vertical=vertical,
    )
    one_ms, three_ms = model.curve.execution_ms(1, share), model.curve.execution_ms(3, share)
    expected_ms = (one_ms + 3 * (one_ms + three_ms)) / 4
    assert run_scenario(scenario).function("alone").mean_ms == pytest.approx(expected_ms, abs=0.01)


def test_waiting_times_are_those_of_a_queue_with_poisson_arrivals_and_fixed_service() -> None:
    service_s = ROBERTA.curve.execution_ms(1, 0.6) / 1000
    for load in (0.3, 0.7):
        scenario = alone(poisson(load / service_s, 3000), batch=1)
        expected_s = service_s + load * service_s / (2 * (1 - load))  # Pollaczek and Khinchin
        assert run_scenario(scenario, seed=2).function("alone").mean_ms == pytest.approx(expected_s * 1000, rel=0.03)


def two_jobs(vertical: str, *, gpus: int = 1) -> tuple[TrainingResult, TrainingResult]:
    jobs = [
        TrainingJob(name=name, model=RESNET, sm_request=500, sm_limit=limit, gpu_memory_mib=10_000)
        for name, limit in (("first", 500), ("second", 500))
    ]
    scenario = Scenario(duration_s=110.0, cluster=ClusterSize(gpus_per_node=gpus), training=tuple(jobs))
    results = run_scenario(scenario, vertical=vertical)
    return results.job("first"), results.job("second")


def test_two_that_run_together_slow_each_other_down_by_four_percent() -> None:
    for job in two_jobs("static-limit"):
        expected_s = RESNET.training.curve.execution_ms(1, 0.5) / 1000 * co_running(2)
        assert job.iterations_per_s == pytest.approx(1 / expected_s, rel=1e-4)
        assert job.used_gpu_seconds == pytest.approx(100 * 0.5)
    apart = two_jobs("static-limit", gpus=2)[0]  # first fit puts both on the first GPU
    assert apart.iterations_per_s == pytest.approx(two_jobs("static-limit")[0].iterations_per_s)


def test_a_job_on_several_gpus_is_as_fast_as_its_slowest_one() -> None:
    neighbour = TrainingJob(name="neighbour", model=RESNET, sm_request=600, sm_limit=600, gpu_memory_mib=1000)
    wide = TrainingJob(name="wide", model=RESNET, gpus=2, sm_request=400, sm_limit=400, gpu_memory_mib=1000)
    scenario = Scenario(duration_s=60.0, cluster=ClusterSize(gpus_per_node=2), training=(neighbour, wide))
    job = run_scenario(scenario, vertical="static-limit").job("wide")
    shared_s = RESNET.training.curve.execution_ms(1, 0.4) / 1000 * co_running(2)
    assert job.iterations_per_s == pytest.approx(1 / shared_s, rel=1e-4)
    assert job.used_gpu_seconds == pytest.approx(2 * 0.4 * 50)


def test_a_job_that_is_done_leaves_and_its_neighbour_goes_on_faster() -> None:
    short = TrainingJob(name="short", model=RESNET, iterations=50, sm_request=400, gpu_memory_mib=1000)
    other = TrainingJob(name="other", model=RESNET, sm_request=400, gpu_memory_mib=1000)
    scenario = Scenario(duration_s=100.0, cluster=ClusterSize(gpus_per_node=1), training=(short, other))
    results = run_scenario(scenario, vertical="dilu")
    assert results.job("short").iterations == pytest.approx(50.0)
    assert results.job("short").finished
    together_s, alone_s = (RESNET.training.curve.execution_ms(1, share) / 1000 for share in (0.5, 0.6))
    done_s = 50 * together_s * co_running(2)
    expected = 50 + (90.0 - done_s) / alone_s
    assert results.job("other").iterations == pytest.approx(expected, rel=0.01)


def test_what_was_done_is_the_sum_over_time_of_what_the_shares_allow() -> None:
    shares = [100, 700, 0, 350, 1000, 20]

    def turning(inputs: VerticalInputs, state: VerticalState, elapsed_us: int) -> Grants:
        if not inputs.work:
            return Grants([], None)
        state.counter[0] += elapsed_us
        return Grants([shares[state.counter[0] // 5000 % len(shares)]], 5000)

    scenario = Scenario(
        duration_s=10.0 + 600 * 0.005,
        cluster=ClusterSize(gpus_per_node=1),
        training=(TrainingJob(name="train", model=RESNET),),
    )
    job = run_scenario(scenario, vertical=VerticalPolicy(name="turning", decide=turning)).job("train")
    curve = RESNET.training.curve
    expected = sum(100 * 5 / curve.execution_ms(1, share / 1000) for share in shares if share)
    assert job.iterations == pytest.approx(expected, rel=1e-6)
    assert job.used_gpu_seconds == pytest.approx(100 * 0.005 * sum(shares) / 1000)


def test_work_whose_share_changes_on_the_way_ends_when_its_parts_add_up() -> None:
    """A long answer runs at its limit, until a training job comes up 25 s after the start, then at its request."""
    output = 1000
    chat = function(
        "chat",
        RecordedArrivals(at_s=(5.0,)),
        model=LLAMA,
        sm_request=400,
        sm_limit=600,
        gpu_memory_mib=1000,
        max_scale=1,
        admission="queue",
        tokens=FixedTokens(prompt=100, output=output),
    )
    train = TrainingJob(name="train", model=BERT, sm_request=600, sm_limit=900, gpu_memory_mib=1000, start_s=15.0)
    scenario = Scenario(
        duration_s=60.0, cluster=ClusterSize(gpus_per_node=1), functions=(chat,), training=(train,), vertical="dilu"
    )
    assert LLAMA.llm is not None
    wide_s, narrow_s = (
        (LLAMA.llm.prefill.execution_ms(100, share) + output * LLAMA.curve.execution_ms(1, share)) / 1000
        for share in (0.6, 0.4)
    )
    assert wide_s > 20.0
    whole_s = 20.0 + (1 - 20.0 / wide_s) * narrow_s * co_running(2)
    result = run_scenario(scenario)
    assert result.function("chat").mean_ms == pytest.approx(whole_s * 1000 / output, rel=1e-4)
    assert result.function("chat").used_gpu_seconds == pytest.approx(20.0 * 0.6 + (whole_s - 20.0) * 0.4, rel=1e-4)


def test_idle_share_is_lent_and_taken_back() -> None:
    scenario = Scenario(
        duration_s=60.0,
        cluster=ClusterSize(gpus_per_node=1),
        functions=(function("embed", constant(10, 60), max_scale=1),),
        training=(TrainingJob(name="train", model=BERT, sm_request=300, sm_limit=900),),
    )
    fixed = run_scenario(scenario, vertical="static-request")
    lending = run_scenario(scenario, vertical="dilu")
    assert lending.job("train").iterations > 1.1 * fixed.job("train").iterations
    slower_ms = lending.function("embed").p95_ms
    assert slower_ms is not None
    assert slower_ms <= co_running(2) * ROBERTA.curve.execution_ms(1, 0.3) + 0.1


def test_a_policy_is_told_what_its_replicas_could_be_granted_beside_a_neighbour() -> None:
    before, after = (4000 / ROBERTA.curve.execution_ms(4, share) for share in (0.6, 0.4))
    seen = capacities(others_request=600)  # it begins to train after ten seconds
    assert seen[0] == pytest.approx(before)
    assert seen[-1] == pytest.approx(after)
    assert capacities(others_request=300)[-1] == pytest.approx(before)


def capacities(others_request: int) -> list[float]:
    """What a policy sees of one replica's capacity beside a training job, second by second."""
    seen: list[float] = []

    def decide(spec: object, observation: Observation, state: object, now_s: float) -> tuple[Decision, object]:
        if observation.grantable_rps is not None:
            seen.append(observation.grantable_rps)
        return Decision(replicas=None, reason="look"), 1

    policy = Policy(name="look", settings_for=lambda spec: spec, initial_state=lambda *_: 1, decide=decide)
    scenario = Scenario(
        duration_s=30.0,
        cluster=ClusterSize(gpus_per_node=1),
        functions=(function("embed", constant(5, 30)),),
        training=(TrainingJob(name="train", model=BERT, sm_request=others_request, sm_limit=700, gpu_memory_mib=1000),),
    )
    run_scenario(scenario, policy=policy)
    return seen
