"""`dilu run` as a process: signals, kills, failures, probes, and what a terminal shows."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from replica_process import ReplicaProcess, wait_until

RunTraining = Callable[..., ReplicaProcess]

# Counts; where it comes to a file `hold-*` it leaves one `hold-*.reached` and waits until the former is deleted.
COUNT = """
    import json, os, sys, time
    from pathlib import Path
    import dilu

    def held(name):
        while Path(name).exists():
            Path(name + ".reached").touch()
            time.sleep(0.01)

    @dilu.training(sm_request=300, sm_limit=600)
    class Count:
        def load(self):
            held("hold-load")
            self.n = 0
        def steps(self):
            while True:
                held("hold-step")
                time.sleep(0.002)
                self.n += 1
                if os.environ.get("FAIL_AT") == str(self.n):
                    raise ValueError("boom")
                yield {"loss": 1 / self.n}
        def checkpoint(self, path):
            (path / "n.json").write_text(json.dumps(self.n))
            held("hold-checkpoint")
        def resume(self, path):
            self.n = json.loads((path / "n.json").read_text())
"""


def trains(run: ReplicaProcess, iterations: int = 3) -> ReplicaProcess:
    """The run, once it has done some iterations."""
    run.stats_port = run.wait_for("ready")["stats_port"]
    wait_until(lambda: run.stats()["totals"]["iterations"] >= iterations, f"{iterations} iterations")
    return run


def hold(folder: Path, name: str) -> None:
    """Let the run wait in its next step, and return when it does."""
    (folder / name).touch()
    wait_until((folder / f"{name}.reached").exists, f"it reaches {name}")


def iterations(folder: Path) -> list[int]:
    return [int(path.name.rpartition("-")[2]) for path in sorted((folder / "checkpoints" / "count").glob("0*"))]


def test_sigterm_saves_the_iteration_and_the_next_run_goes_on(run_training: RunTraining, tmp_path: Path) -> None:
    run = trains(run_training(COUNT))
    run.terminate()
    assert run.wait_for("draining")
    assert run.wait() == 0
    (first,) = iterations(tmp_path)
    assert first >= 3
    again = trains(run_training(COUNT))
    assert again.stats()["iteration"] > first
    again.process.send_signal(signal.SIGINT)
    assert again.wait() == 0
    assert f"resumed from checkpoints/count/000001-iteration-{first}" in again.log()
    assert iterations(tmp_path)[-1] > first


def test_steps_bounds_all_runs_together(run_training: RunTraining, tmp_path: Path) -> None:
    for _ in range(2):
        run = run_training(COUNT, "--steps", "20", "--checkpoint-every", "8")
        assert run.wait() == 0
        assert iterations(tmp_path) == [8, 16, 20]
    assert "finished: 0 iterations" in run.log()


def test_a_failing_step_is_told_with_its_iteration_and_what_is_kept(run_training: RunTraining, tmp_path: Path) -> None:
    run = run_training(COUNT, "--checkpoint-every", "5", FAIL_AT="13")
    assert run.wait_for("failed") == {
        "event": "failed",
        "phase": "steps",
        "error": f"iteration 13: ValueError: boom ({tmp_path}/train.py:22)",
    }
    assert run.wait() == 1
    assert "count failed in iteration 13: ValueError: boom" in run.log()
    assert "the newest checkpoint is checkpoints/count/000002-iteration-10 (iteration 10)" in run.log()
    assert iterations(tmp_path) == [5, 10]


def test_a_run_killed_in_a_checkpoint_leaves_the_one_before(run_training: RunTraining, tmp_path: Path) -> None:
    assert run_training(COUNT, "--steps", "5").wait() == 0
    (tmp_path / "hold-checkpoint").touch()
    run = run_training(COUNT, "--steps", "10")
    wait_until(lambda: bool(list((tmp_path / "checkpoints" / "count").glob(".writing-*/n.json"))), "half a checkpoint")
    run.process.kill()
    run.wait()
    (tmp_path / "hold-checkpoint").unlink()
    again = run_training(COUNT, "--steps", "10")
    assert again.wait() == 0
    assert "is skipped: it was half-written by a run that was killed" in again.log()
    assert "resumed from checkpoints/count/000001-iteration-5" in again.log()
    assert iterations(tmp_path) == [5, 10]


@pytest.mark.parametrize("held", ["hold-checkpoint", "hold-step"])
def test_a_second_ctrl_c_ends_at_once_and_spoils_nothing(run_training: RunTraining, tmp_path: Path, held: str) -> None:
    assert run_training(COUNT, "--steps", "5").wait() == 0
    run = trains(run_training(COUNT))
    if held == "hold-step":
        hold(tmp_path, held)
    (tmp_path / held).touch()
    run.process.send_signal(signal.SIGINT)
    wait_until((tmp_path / f"{held}.reached").exists, f"it reaches {held}")
    run.wait_for("draining")
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 128 + signal.SIGINT
    assert "ended at once by a second signal, in " in run.log()
    (tmp_path / held).unlink()
    again = run_training(COUNT, "--steps", "6")
    assert again.wait() == 0
    assert "resumed from checkpoints/count/000001-iteration-5" in again.log()
    assert iterations(tmp_path) == [5, 6]


def test_a_stop_that_takes_too_long_is_cut(run_training: RunTraining, tmp_path: Path) -> None:
    run = trains(run_training(COUNT, "--stop-timeout", "0.3"))
    hold(tmp_path, "hold-step")
    run.terminate()
    assert run.wait() == 1
    assert "did not end within 0.3 s of the stop" in run.log()
    assert "this run has no checkpoint in" in run.log()


def test_a_stop_while_it_loads_waits_for_nothing(run_training: RunTraining, tmp_path: Path) -> None:
    (tmp_path / "hold-load").touch()
    run = run_training(COUNT)
    wait_until(lambda: (tmp_path / "checkpoints" / "count").exists(), "it loads")
    wait_until(lambda: _handles_sigterm(run.process.pid), "it handles signals")
    run.terminate()
    assert run.wait() == 0
    assert "stopped in load" in run.log()
    assert iterations(tmp_path) == []


def _handles_sigterm(pid: int) -> bool:
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_its_end_of_the_line_to_a_parent_that_has_ended_stops_it(run_training: RunTraining, tmp_path: Path) -> None:
    run = trains(run_training(COUNT))
    run.control.close()
    assert run.wait() == 0
    assert len(iterations(tmp_path)) == 1


def test_the_stats_port_tells_how_it_goes(run_training: RunTraining, tmp_path: Path) -> None:
    (tmp_path / "hold-load").touch()
    run = run_training(COUNT, "--steps", "100000", DILU_REPLICA="count-1", DILU_STATS_PORT="0")
    (tmp_path / "hold-load").unlink()
    trains(run, 40)
    stats = run.stats()
    assert (stats["function"], stats["replica"], stats["kind"]) == ("count", "count-1", "training")
    assert (stats["state"], stats["last_iteration"], stats["checkpoint_iteration"]) == ("ready", 100000, None)
    assert stats["iteration"] == stats["totals"]["iterations"]
    assert 0 < stats["klc"]["min_s"] <= stats["klc"]["mean_s"]
    assert 0 < stats["iterations_per_s"] < 500
    assert 0 < stats["scalars"]["loss"] <= 1
    assert run.request("GET", "/readyz", port=run.stats_port).status == 200
    assert run.request("GET", "/healthz", port=run.stats_port).status == 200
    assert run.request("GET", "/nothing", port=run.stats_port).status == 404
    metrics = run.metrics()
    for name in ("dilu_iterations_total", "dilu_klc_seconds_bucket", "dilu_training_scalar", "dilu_cold_start_seconds"):
        assert f'{name}{{function="count"' in metrics
    hold(tmp_path, "hold-step")
    run.terminate()
    wait_until(lambda: run.stats()["state"] == "draining", "it stops")
    assert run.request("GET", "/readyz", port=run.stats_port).status == 503
    assert run.request("GET", "/healthz", port=run.stats_port).status == 200
    (tmp_path / "hold-step").unlink()
    assert run.wait() == 0


def test_fresh_starts_again(run_training: RunTraining, tmp_path: Path) -> None:
    assert run_training(COUNT, "--steps", "5").wait() == 0
    run = run_training(COUNT, "--steps", "3", "--fresh")
    assert run.wait() == 0
    assert "resumed" not in run.log()
    assert iterations(tmp_path) == [5, 3]


def test_two_runs_do_not_share_a_folder(run_training: RunTraining) -> None:
    run = trains(run_training(COUNT))
    other = run_training(COUNT)
    assert other.wait() == 2
    assert other.log() == "dilu: checkpoint-dir = checkpoints/count, is in use by another run; choose another one\n"
    run.terminate()
    assert run.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--checkpoint-every", "often"], {}, "dilu: checkpoint-every = 'often', must be iterations (500) or a time"),
        (["--steps", "-1"], {}, "Invalid value for '--steps'"),
        (["--keep", "0"], {}, "Invalid value for '--keep'"),
        ([], {"DILU_STATS_PORT": "x"}, "dilu: DILU_STATS_PORT = 'x', must be a whole number"),
        ([], {"DILU_FUNCTION_SPEC": '{"kind": "inference"}'}, "count is a training function; only its code can"),
    ],
)
def test_what_cannot_be_used_is_said_and_nothing_starts(
    run_training: RunTraining, tmp_path: Path, arguments: list[str], environment: dict[str, str], message: str
) -> None:
    run = run_training(COUNT, *arguments, **environment)
    assert run.wait() == 2
    assert message in run.log()
    assert not (tmp_path / "checkpoints").exists()


FORKS = """
    import multiprocessing, os, time
    from pathlib import Path
    import dilu

    def work(numbers):
        for number in range(10**9):
            numbers.put(number)

    @dilu.training
    class Count:
        def steps(self):
            context = multiprocessing.get_context("fork")
            numbers = context.Queue(2)
            worker = context.Process(target=work, args=[numbers], daemon=True)
            worker.start()
            Path("worker.pid").write_text(str(worker.pid))
            try:
                while True:
                    time.sleep(0.02)
                    assert worker.is_alive(), "the worker has ended"
                    yield {"n": numbers.get()}
            finally:
                worker.terminate()
                worker.join()
        def checkpoint(self, path):
            (path / "nothing").touch()
        def resume(self, path):
            pass
"""


def test_ctrl_c_does_not_end_the_workers_of_a_data_loader(run_training: RunTraining, tmp_path: Path) -> None:
    run = trains(run_training(FORKS))
    worker = int((tmp_path / "worker.pid").read_text())
    os.killpg(run.process.pid, signal.SIGINT)  # as a terminal does
    assert run.wait() == 0, run.log()
    assert len(iterations(tmp_path)) == 1
    assert not Path(f"/proc/{worker}").exists()


def test_a_line_of_json_each_for_machines(run_training: RunTraining) -> None:
    run = run_training(COUNT, "--steps", "3", "--log-format", "json")
    assert run.wait() == 0
    lines = [json.loads(line) for line in run.log().splitlines()]
    assert lines[-1]["message"].startswith("finished: 3 iterations")
    assert lines[-1]["function"] == "train.py"


def test_a_terminal_shows_one_line_that_is_rewritten(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(COUNT.replace("\n    ", "\n"))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dilu", "run", "train.py", "--stats-port", "0"],
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while shown.count(b"\r\x1b[Kcount: iteration ") < 3:
            shown += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # how a terminal reports that no process is left
            while data := os.read(ours, 65536):
                shown += data
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    last = shown.decode().strip().rpartition("\n")[2]
    assert "stopped: " in last.rpartition("\x1b[K")[2]
