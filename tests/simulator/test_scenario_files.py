"""scenario.yaml: what it gives, and how each mistake is named by file, line and rule."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from dilu.errors import ConfigError
from dilu_simulator.arrivals import LognormalTokens, RecordedTokens, SporadicArrivals, Tokens, read_llm_trace
from dilu_simulator.scenario import ColdStartDelay, preset_names, read_preset, read_scenario

WHOLE = """
name: whole
duration: 60
cluster: {nodes: 2, gpus: 3, gpu_memory: 80Gi, omega: 900, gamma: 1200}
policy: kpa
vertical: static-limit
placement: exclusive
functions:
  - name: embed
    model: roberta-large
    load: {kind: gamma, rps: 10, cv: 2}
    slo_ms: 90
    batch: 8
    sm_request: 200
    gpu_memory: 3Gi
    min_scale: 1
    max_scale: 5
    warm: 1
    admission: queue
    policy: eager
    copies: 2
  - name: chat
    model: LLaMA2-7B
    load: {kind: steps, phases: "1:10,0:5"}
    tokens: {prompt: 100, output: 20, output_cv: 0.5}
    cold_start: {image: 20, load: 12.5}
training:
  - name: train
    model: BERT-base
    gpus: 2
    start: 5
    iterations: 100
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "scenario.yaml"
    path.write_text(text)
    return path


def test_every_key_arrives(tmp_path: Path) -> None:
    scenario = read_scenario(written(tmp_path, WHOLE))
    assert (scenario.name, scenario.duration_s, scenario.policy) == ("whole", 60.0, "kpa")
    assert (scenario.vertical, scenario.placement) == ("static-limit", "exclusive")
    size = scenario.cluster
    assert (size.gpus, size.gpu_memory_mib, size.omega_milli, size.gamma_milli) == (6, 80 * 1024, 900, 1200)
    first, second, chat = scenario.functions
    assert (first.name, second.name, first.policy, first.admission, first.warm) == (
        "embed-1",
        "embed-2",
        "eager",
        "queue",
        1,
    )
    spec = first.spec
    assert (spec.slo_ms, spec.batch, spec.sm_request, spec.sm_limit) == (90.0, 8, 200, 400)
    assert (spec.gpu_memory_mib, spec.min_scale, spec.max_scale) == (3072, 1, 5)
    assert chat.tokens == LognormalTokens(prompt=100, output=20, prompt_cv=0.0, output_cv=0.5)
    assert chat.cold_start == ColdStartDelay(image_s=20.0, load_s=12.5)
    assert (chat.spec.sm_request, chat.spec.sm_limit) == (500, 600)
    (job,) = scenario.training
    assert (job.gpus, job.start_s, job.iterations, job.spec.sm_request) == (2, 5, 100, 300)


def test_traces_are_looked_for_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "rates.txt").write_text("2\n4\n")
    text = "duration: 2\nfunctions:\n  - {name: a, model: VGG19, load: {kind: trace, file: rates.txt, scale: 2}}\n"
    (function,) = read_scenario(written(tmp_path, text)).functions
    assert len(list(function.arrivals.times_s(Random(1)))) == 12


@pytest.mark.parametrize("name", preset_names())
def test_each_preset_can_be_read(name: str) -> None:
    assert read_preset(name).name == name


FUNCTION = "duration: 10\nfunctions:\n  - name: a\n    model: VGG19\n    "
LOADED = FUNCTION + "load: {kind: poisson, rps: 1}\n    "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("functions: []\n", r"scenario.yaml:1: duration: is required"),
        ("duration: 10\n", r"scenario.yaml:1: scenario 'scenario': no functions and no training"),
        ("duration: -1\nfunctions: []\n", r"scenario.yaml:1: duration: must be a number above 0 \(seen -1\)"),
        ("duration: 10\npolicies: dilu\n", r"scenario.yaml:2: policies: unknown key; did you mean policy\?"),
        ("duration: 10\npolicy: kpb\n", r"scenario.yaml:2: policy = 'kpb', must be one of: dilu, "),
        ("duration: 10\npolicy: ''\n", r"scenario.yaml:2: policy = '', must be one of: dilu, "),
        ("duration: 10\nvertical: mps\n", r"scenario.yaml:2: vertical policy = 'mps', must be one of: dilu, "),
        ("duration: 10\n\nplacement: best\n", r"scenario.yaml:3: placement = 'best', must be one of: exclusive, "),
        ("duration: 10\ncluster: {nodes: 0}\n", r"scenario.yaml:2: cluster.nodes: must be a whole number from 1"),
        (
            "duration: 10\ncluster: {gamma: 500}\n",
            r"scenario.yaml:2: cluster.gamma: must be a whole number of milli-GPU",
        ),
        ("duration: 10\ncluster: {gpu_memory: lots}\n", r"scenario.yaml:2: cluster.gpu_memory: must be a quantity"),
        (
            FUNCTION.replace("VGG19", "VGG20") + "load: {kind: even, rps: 1}\n",
            r"scenario.yaml:4: model: must be one of: ",
        ),
        (
            FUNCTION + "load: {kind: uniform}\n",
            r"scenario.yaml:5: load.kind: must be one of even, .* \(seen 'uniform'\)",
        ),
        (FUNCTION + "load: {kind: poisson}\n", r"scenario.yaml:5: load.rps: is required"),
        (FUNCTION + "load: {kind: poisson, rps: -2}\n", r"scenario.yaml:5: load.rps: must be a number of at least 0"),
        (FUNCTION + "load: {kind: poisson, rps: 1, cv: 2}\n", r"scenario.yaml:5: load.cv: unknown key"),
        (FUNCTION + "load: {kind: gamma, rps: 1, cv: 500}\n", r"scenario.yaml:5: load: cv = 500, must be 0"),
        (
            FUNCTION + 'load: {kind: bursty, phases: "1-2"}\n',
            r"scenario.yaml:5: load: step 1 = '1-2', must be RPS:SECONDS",
        ),
        (FUNCTION + "load: {kind: trace, file: none.txt}\n", r"none.txt: No such file"),
        (FUNCTION + "load: {kind: trace, file: gap.txt}\n", r"gap.txt:2: an empty line between rates"),
        (FUNCTION + "load: {kind: trace, file: unsorted.csv}\n", r"unsorted.csv:3: '1' is before the time above it"),
        (FUNCTION + "load: {kind: trace, file: nan.txt}\n", r"nan.txt:2: nan, must be a finite number"),
        (
            LOADED + "gpu_memory: 41Gi\n",
            r"scenario.yaml:6: gpu_memory: must be at most the 40960 MiB on a GPU, or a never",
        ),
        (
            LOADED + "gpus: 5\n",
            r"scenario.yaml:6: gpus: must be at most the 4 GPUs in the cluster, or a never finds room",
        ),
        (
            LOADED + "sm_request: 700\n    sm_limit: 600\n",
            r"scenario.yaml:7: sm_limit: must be at least the request, 700",
        ),
        (LOADED + "slo_ms: 0\n", r"scenario.yaml:6: slo_ms: must be a number above 0 \(seen 0\)"),
        (LOADED + "admission: luck\n", r"scenario.yaml:6: admission: must be one of slo, queue"),
        (
            LOADED + "tokens: {prompt: 1, output: 1}\n",
            r"scenario.yaml:6: tokens: are for language models only; VGG19 is",
        ),
        (LOADED + "cold_start: {load: -1}\n", r"scenario.yaml:6: cold_start.load: must be a number of at least 0"),
        (LOADED + "copies: 0\n", r"scenario.yaml:6: copies: must be a whole number from 1"),
        (LOADED + "policy: kpb\n", r"scenario.yaml:6: policy = 'kpb', must be one of"),
        (
            LOADED + "\n  - {name: a, model: VGG19, load: {kind: even, rps: 1}}\n",
            r"scenario.yaml:7: name: must differ between functions",
        ),
        (
            "duration: 1\ntraining:\n  - {name: t, model: VGG19, iterations: 0}\n",
            r"scenario.yaml:3: iterations: must be",
        ),
    ],
)
def test_a_mistake_is_named_by_file_line_and_rule(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "gap.txt").write_text("1\n\n2\n")
    (tmp_path / "nan.txt").write_text("1\nnan\n")
    (tmp_path / "unsorted.csv").write_text("time\n2\n1\n")
    with pytest.raises(ConfigError, match=message):
        read_scenario(written(tmp_path, text))


def test_requests_with_tokens_come_from_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.5,374,44\n2023-11-16 18:17:04.0,396,0\n"
    )
    arrivals, tokens = read_llm_trace(path, scale=2.0)
    assert arrivals.at_s == (0.0, 0.25)
    assert tokens == RecordedTokens(counts=(Tokens(374, 44), Tokens(396, 1)))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a,b\n", r"trace.csv:1: columns a, b; one must be named timestamp"),
        ("time,prompt\n", r"trace.csv:1: columns time, prompt; one must be named generatedtokens"),
        ("time,prompt,output\n1,2\n", r"trace.csv:2: 2 columns, must be 3 as in the header"),
        ("time,prompt,output\n1,2,3\n\n2,2,3\n", r"trace.csv:3: an empty line between requests"),
        ("time,prompt,output\n1,-2,3\n", r"trace.csv:2: '-2' tokens, must be a whole number from 0"),
        ("time,prompt,output\n1,2,1000001\n", r"trace.csv:2: '1000001' tokens, must be a whole number from 0"),
        (f"time,prompt,output\n1,{'9' * 5000},3\n", r"trace.csv:2: '9+\.\.\. tokens, must be a whole number from 0"),
        (f"time,prompt,output\n1,2,{'x' * 200_000}\n", r"trace.csv:2: field larger than field limit"),
        ("time,prompt,output\n2,2,3\n1,2,3\n", r"trace.csv:3: '1' is before the time above it"),
        ("time,prompt,output\nnan,2,3\n", r"trace.csv:2: 'nan', must be a number of seconds or an ISO time"),
    ],
)
def test_a_bad_trace_of_tokens_is_refused_by_its_line(lines: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(lines)
    with pytest.raises(ConfigError, match=message):
        read_llm_trace(path)


def test_sporadic_requests_come_in_order_and_in_bursts() -> None:
    load = SporadicArrivals(burst_rps=20.0, burst_s=5.0, pause_s=45.0, duration_s=10_000.0)
    times = list(load.times_s(Random(3)))
    assert times == sorted(times)
    assert times[-1] <= 10_000.0
    assert len(times) == pytest.approx(10_000 * 20 * 5 / 50, rel=0.2)
    quiet = 10_000 - len({int(at) for at in times})
    assert quiet > 8_000
    assert list(load.until(100.0).times_s(Random(3)))[-1] <= 100.0
