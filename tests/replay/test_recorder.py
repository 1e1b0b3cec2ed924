"""What the recorder writes, `dilu policy replay` reads: the same decisions come out."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dilu.errors import ConfigError
from dilu_autoscaler.loop import Tick
from dilu_autoscaler.policy.horizontal import Observation, Sample
from dilu_autoscaler.policy.horizontal.kpa.rule import decide, initial_state
from dilu_autoscaler.policy.horizontal.kpa.settings import KpaSpec
from dilu_autoscaler.replay.cli import policy
from dilu_autoscaler.replay.recorded_lines import read_lines
from dilu_autoscaler.replay.recorder import FLUSHED_LINES, Recorder
from dilu_autoscaler.replay.spec_keys import keys_of

SPEC = KpaSpec(target=0.7, total=1.0, max_scale_up_rate=3.0, panic_threshold_ratio=1.1)


def replayed(folder: Path, observations: str) -> list[dict[str, Any]]:
    files = ["--spec", str(folder / "spec.yaml"), "--observations", str(folder / observations)]
    result = CliRunner().invoke(policy, ["replay", *files])
    assert result.exception is None
    return [json.loads(line) for line in result.stdout.splitlines()]


def ticks(seconds: int, spec: KpaSpec) -> list[Tick]:
    """A load that rises, bursts and falls, as the loop sees it each second."""
    state, made = None, []
    for second in range(seconds):
        load = (second + 1) / 3 if second % 20 < 15 else 40.0
        sample = Sample(t_s=100.0 + second, concurrency=load, rps=load * 2)
        seen = Observation(samples=(sample,), ready=1 + second // 10, desired=1 + second // 10)
        now_s = 101.2 + second
        state = initial_state(spec, seen, now_s) if state is None else state
        decision, state = decide(spec, seen, state, now_s)
        made.append(Tick(function="shop/embed", now_s=now_s, seen=seen, decision=decision))
    return made


def test_recorded_averages_give_the_same_decisions(tmp_path: Path) -> None:
    recorder, recorded = Recorder(tmp_path), ticks(100, SPEC)
    for tick in recorded:
        recorder.tick(tick, keys_of(SPEC, initial_ready=1))
    recorder.close()
    assert recorder.folder == tmp_path / "run-001"
    printed = replayed(recorder.folder / "shop" / "embed", "averages.jsonl")
    assert [(one["t_s"], one["desired"], one["panicking"], one["stable"]) for one in printed] == [
        (tick.now_s, tick.decision.replicas, tick.decision.panicking, tick.decision.stable) for tick in recorded
    ]
    assert any(one["panicking"] for one in printed)


def test_recorded_values_are_those_of_each_second(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for tick in ticks(10, SPEC):
        recorder.tick(tick, keys_of(SPEC))
    recorder.close()
    folder = recorder.folder / "shop" / "embed"
    lines = [json.loads(line) for line in (folder / "observations.jsonl").read_text().splitlines()]
    assert [line["t_s"] for line in lines] == [100.0 + second for second in range(10)]
    assert lines[3] == {
        "t_s": 103.0,
        "ready": 1,
        "starting": 0,
        "desired": 1,
        "waiting": 0,
        "learned_rps": None,
        "grantable_rps": None,
        "concurrency": 4 / 3,
        "rps": 8 / 3,
    }
    assert len(replayed(folder, "observations.jsonl")) == 5


def test_what_missed_its_objective_is_recorded_where_the_source_knows_it(tmp_path: Path) -> None:
    recorder, (tick, _) = Recorder(tmp_path), ticks(2, SPEC)
    assert tick.seen is not None
    for missed in (None, 0.0, 2.0):
        sample = replace(tick.seen.samples[0], missed=missed)
        recorder.tick(replace(tick, seen=replace(tick.seen, samples=(sample,))), keys_of(SPEC))
    recorder.close()
    path = recorder.folder / "shop" / "embed" / "observations.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.get("missed", "absent") for line in lines] == ["absent", 0.0, 2.0]
    assert [line.loads.get("missed") for line in read_lines("f", path.read_text().splitlines())] == [None, 0.0, 2.0]


def test_a_changed_spec_is_told_once_in_both_files(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for number, tick in enumerate(ticks(4, SPEC)):
        recorder.tick(tick, {"target": 1} if number < 2 else {"window": "30s"})
    recorder.close()
    folder = recorder.folder / "shop" / "embed"
    for name in ("observations.jsonl", "averages.jsonl"):
        lines = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        assert [line.get("spec") for line in lines] == [None, None, {"target": None, "window": "30s"}, None]
        assert len(replayed(folder, name)) > 1
    assert (folder / "spec.yaml").read_text() == "target: 1\n"


def test_each_start_has_a_run_of_its_own(tmp_path: Path) -> None:
    assert [Recorder(tmp_path / "runs").folder.name for _ in range(3)] == ["run-001", "run-002", "run-003"]


def test_a_function_gets_no_path_outside_its_run(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.spec("a/..%2f/b c", {})
    recorder.spec("//", {})
    written = sorted(str(path.relative_to(recorder.folder)) for path in recorder.folder.rglob("spec.yaml"))
    assert written == ["_/_/_/spec.yaml", "a/..%252f/b%20c/spec.yaml"]


def test_lines_are_written_by_the_dozen_and_when_a_function_is_removed(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.spec("embed", {})
    path = recorder.folder / "embed" / "observations.jsonl"
    for second in range(FLUSHED_LINES - 1):
        recorder.values("embed", t_s=second, concurrency=1.0, rps=1.0, ready=1)
    assert not path.exists()
    recorder.values("embed", t_s=FLUSHED_LINES, concurrency=1.0, rps=1.0, ready=1)
    assert path.read_text().count("\n") == FLUSHED_LINES
    recorder.values("embed", t_s=FLUSHED_LINES + 1, concurrency=1.0, rps=1.0, ready=1)
    recorder.forget("embed")
    assert path.read_text().count("\n") == FLUSHED_LINES + 1
    recorder.forget("embed")


def test_a_disk_that_takes_nothing_stops_only_the_recording(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(tmp_path)
    (recorder.folder / "embed").write_text("in the way", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        recorder.spec("embed", {"target": 1})
        recorder.averages("embed", t_s=1, ready=1, stable=1.0, panic=1.0)
        recorder.close()
    (message,) = caplog.messages
    assert message.startswith(f"recording: {recorder.folder}/embed/spec.yaml: ")


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot record there"):
        Recorder(tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot record there"):
        Recorder(tmp_path / "file" / "below")
