"""What is learned of the code before anything starts: in a child that ends in time, and every misuse in one line."""

from __future__ import annotations

import asyncio
import logging
import re
import textwrap
import time
from pathlib import Path

import pytest

from dilu.errors import ConfigError
from dilu_autoscaler.local import describe_target as describing
from dilu_autoscaler.local.describe_target import describe
from dilu_autoscaler.local.launch_spec import LaunchPlan, LaunchRequest, make_plan, read_outline
from local.gateway_bench import run

HANDLER = """
import dilu
@dilu.function
def one(x: float) -> float: return x
"""
BATCHED = """
import dilu
@dilu.function(batch=4)
def many(xs: list[float]): return xs
"""


def _app(folder: Path, source: str) -> Path:
    (folder / "app.py").write_text(textwrap.dedent(source))
    return folder


def _plan(target: str) -> LaunchPlan:
    async def planned() -> LaunchPlan:
        return await make_plan(read_outline(LaunchRequest(target=target)))

    return run(planned())


@pytest.mark.parametrize(
    "before",
    [
        "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()",
        "import subprocess; subprocess.Popen(['sleep', '60'])",
    ],
    ids=["a thread", "a process"],
)
def test_what_the_module_leaves_running_does_not_hold_the_answer(tmp_path: Path, before: str) -> None:
    began_s = time.monotonic()
    ((target, spec),) = run(describe("app.py", _app(tmp_path, before + HANDLER), {}))
    assert (target, spec.name) == (f"{tmp_path}/app.py:one", "one")
    assert time.monotonic() - began_s < 10.0


def test_a_module_that_does_not_return_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(describing, "_REMIND_AFTER_S", 0.2)
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(ConfigError, match=r"^app\.py: not loaded within 1 s$"),
    ):
        run(describe("app.py", _app(tmp_path, "import time; time.sleep(60)"), {}, limit_s=1.0))
    assert "still loading app.py …" in caplog.messages


def test_an_answer_that_is_none_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^app\.py: `dilu describe` wrote invalid JSON when it loaded it: [^\n]+$"):
        run(describe("app.py", _app(tmp_path, "import os; os._exit(0)"), {}))


def test_of_several_that_load_none_goes_on_when_one_has_failed(tmp_path: Path) -> None:
    _app(tmp_path, "import time; time.sleep(60)")
    (tmp_path / "bad.py").write_text("import nowhere")
    file = tmp_path / "dilu.yaml"
    file.write_text("functions:\n- {target: app.py, name: a}\n- {target: bad.py, name: b}\n")
    began_s = time.monotonic()
    with pytest.raises(ConfigError, match="No module named 'nowhere'"):
        _plan(str(file))
    assert time.monotonic() - began_s < 10.0


@pytest.mark.parametrize(
    ("source", "batch", "rule"),
    [
        (HANDLER, "4", "the handler of one takes one item, which only its code can change (seen 4)"),
        (BATCHED, "null", "the handler of many takes a list of items, which only its code can change (seen None)"),
    ],
    ids=["one item", "a list"],
)
def test_an_override_cannot_make_a_handler_batched_nor_the_reverse(
    tmp_path: Path, source: str, batch: str, rule: str
) -> None:
    _app(tmp_path, source)
    file = tmp_path / "dilu.yaml"
    file.write_text(f"functions:\n- target: app.py\n  batch: {batch}\n")
    with pytest.raises(ConfigError, match=re.escape(f"{file}:3: batch: {rule}")):
        _plan(str(file))


def test_two_functions_of_one_name_are_refused_with_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_app(tmp_path, HANDLER.replace("@dilu.function", "@dilu.function(name='a')")))
    with (tmp_path / "app.py").open("a") as file:
        file.write("@dilu.function(name='a')\ndef two(x: float) -> float: return x\n")
    with pytest.raises(ConfigError, match=r"^app\.py: name = 'a', must differ between functions"):
        _plan("app.py")


def test_a_replica_may_finish_what_the_gateway_still_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_app(tmp_path, HANDLER))
    (function,) = _plan("app.py").functions
    assert function.command[-2:] == ("--drain-timeout", "300")


def test_being_cancelled_leaves_no_child(tmp_path: Path) -> None:
    _app(tmp_path, "import time; open('up', 'w').close(); time.sleep(60)")

    async def cancelled() -> None:
        describing_it = asyncio.ensure_future(describe("app.py", tmp_path, {}))
        while not (tmp_path / "up").exists():
            await asyncio.sleep(0.01)
        describing_it.cancel()
        with pytest.raises(asyncio.CancelledError):
            await describing_it

    run(cancelled())
