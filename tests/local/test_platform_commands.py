"""`dilu ps`, `logs`, `invoke`, and what `dilu up` says when it cannot."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest

from local.platform_process import PlatformProcess, platforms, run_command
from replica_process import wait_until

SOURCE = """
    import dilu

    @dilu.function(slo_ms=1000, batch=4)
    class Double:
        def predict(self, items: list[float]):
            print("doubling", items, flush=True)
            return [2 * item for item in items]

    @dilu.function
    def fail(item: float) -> float:
        raise RuntimeError("as told")
"""


@pytest.fixture(scope="module")
def platform() -> Iterator[PlatformProcess]:
    with platforms() as start:
        up = start(SOURCE, "--name", "shop", "--log-format", "json", "--access-log")
        up.post("/double", 1.0)
        up.wait_for_ready("double", 1)
        yield up


def test_ps_shows_functions_replicas_and_why(platform: PlatformProcess) -> None:
    shown = run_command(platform, "ps")
    assert shown.returncode == 0
    assert re.search(r"shop +http://127\.0\.0\.1:\d+", shown.stdout)
    assert re.search(r"double +1/1", shown.stdout)
    assert re.search(r"double-1 +ready +\d+", shown.stdout)
    assert re.search(r"^double: (0 -> )?1 replica: \w", shown.stdout, re.MULTILINE)


def test_ps_prints_the_status_for_programs(platform: PlatformProcess) -> None:
    status = json.loads(run_command(platform, "ps", "--json", "--name", "shop").stdout)
    assert status["name"] == "shop"
    assert status["pid"] == platform.process.pid
    double = status["functions"][0]
    assert (double["name"], double["policy"], double["slo_ms"]) == ("double", "dilu", 1000.0)
    assert double["replicas"][0]["state"] == "ready"


def test_explain_shows_the_decisions_on_a_function(platform: PlatformProcess) -> None:
    shown = run_command(platform, "explain", "double").stdout
    assert shown.startswith("double\n1 of 1 ready")
    assert "policy=dilu" in shown
    assert re.search(r"0 → 1 ", shown)
    answer = json.loads(run_command(platform, "explain", "double", "--output", "json").stdout)
    assert (answer["version"], answer["platform"]) == (1, "local")
    [double] = answer["functions"]
    assert (0, 1) in [(one["before"], one["decided"]) for one in double["decisions"]]
    refused = run_command(platform, "explain", "no-such")
    assert (refused.returncode, "no such function is up" in refused.stderr) == (2, True)


@pytest.mark.parametrize("how", ["--data", "stdin", "--data-file"])
def test_invoke_calls_through_the_gateway(platform: PlatformProcess, how: str) -> None:
    (platform.log_path.parent / "app" / "item.json").write_text("21")
    arguments = {"--data": ["--data", "21"], "stdin": [], "--data-file": ["--data-file", "item.json"]}[how]
    called = run_command(platform, "invoke", "double", *arguments, stdin=b"21")
    assert (called.returncode, called.stdout) == (0, "42.0")


def test_invoke_ends_with_1_when_the_answer_is_an_error(platform: PlatformProcess) -> None:
    called = run_command(platform, "invoke", "fail", "--data", "1", "--request-id", "find-me")
    assert called.returncode == 1
    assert json.loads(called.stdout)["error"]["code"] == "handler-failed"
    assert "find-me" in run_command(platform, "logs", "fail").stdout


@pytest.mark.parametrize("id_", ["a\nb: c", "é€", "", "x" * 129])
def test_invoke_refuses_an_id_that_no_header_can_carry(platform: PlatformProcess, id_: str) -> None:
    called = run_command(platform, "invoke", "double", "--data", "1", "--request-id", id_)
    assert called.returncode == 2
    line = f"dilu: --request-id {id_!r}, must be 1 to 128 printable ASCII characters\n"
    assert called.stderr == line


def test_no_lines_of_logs_are_none(platform: PlatformProcess) -> None:
    shown = run_command(platform, "logs", "double", "--lines", "0")
    assert (shown.returncode, shown.stdout) == (0, "")


def test_logs_are_led_by_the_replica(platform: PlatformProcess) -> None:
    shown = run_command(platform, "logs", "double", "--replica", "double-1")
    assert "double-1 | doubling [1.0]\n" in shown.stdout
    assert "fail" not in shown.stdout


def test_logs_can_be_followed(platform: PlatformProcess) -> None:
    following = subprocess.Popen(
        [sys.executable, "-m", "dilu", "logs", "double", "--follow", "--lines", "0"],
        env={**os.environ, "DILU_RUN_DIR": str(platform.root), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
    )
    assert following.stdout is not None
    try:
        # It says nothing until something is written, so write until it has seen that.
        with following.stdout as lines:
            os.set_blocking(lines.fileno(), False)
            seen = b""

            def has_seen() -> bool:
                nonlocal seen
                platform.post("/double", 77.0)
                seen += lines.read() or b""
                return b"double-1 | doubling [77.0" in seen

            wait_until(has_seen, "the line is followed")
    finally:
        following.terminate()
        following.wait()


def test_events_are_json_with_request_ids(platform: PlatformProcess) -> None:
    platform.post("/double", 1.0, headers={"X-Request-Id": "traced"})

    def is_logged() -> bool:
        entries = [json.loads(line) for line in platform.log().splitlines()]
        return any(entry.get("request_ids") == ["traced"] and " 200 " in entry["message"] for entry in entries)

    wait_until(is_logged, "the request is in the log")


@pytest.mark.parametrize("command", [["invoke", "treble", "--data", "1"], ["logs", "treble"]])
def test_an_unknown_function_is_one_line(platform: PlatformProcess, command: list[str]) -> None:
    called = run_command(platform, *command)
    assert called.returncode == 2
    assert called.stderr == "dilu: treble: no such function is up; there are: double, fail\n"


def test_a_second_platform_of_the_same_name_is_one_line(platform: PlatformProcess) -> None:
    second = run_command(platform, "up", "app.py", "--name", "shop", "--port", "0")
    assert second.returncode == 2
    line = rf"dilu: shop is up already \(pid {platform.process.pid}, http://127.0.0.1:{platform.port}\); stop it .*\n"
    assert re.fullmatch(line, second.stderr)


def test_a_port_in_use_is_one_line(platform: PlatformProcess) -> None:
    second = run_command(platform, "up", "app.py", "--name", "other", "--port", str(platform.port))
    assert second.returncode == 2
    held = f"127.0.0.1:{platform.port} is in use by the `dilu up` called shop (pid {platform.process.pid})"
    assert second.stderr == f"dilu: {held}; stop it, or use another --port\n"


def test_a_port_that_another_program_uses_is_one_line(platform: PlatformProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        second = run_command(platform, "up", "app.py", "--name", "other", "--port", str(port))
    assert second.returncode == 2
    assert second.stderr == f"dilu: 127.0.0.1:{port} is in use; stop what uses it, or use another --port\n"


@pytest.mark.parametrize(
    ("files", "target", "line"),
    [
        ({"bad.py": "def f(:"}, "bad.py", r"dilu: .*bad\.py:1: .*"),
        ({"bad.py": "import nowhere"}, "bad.py", r"dilu: .*bad\.py:1: ModuleNotFoundError: No module named 'nowhere'"),
        ({"bad.py": "print('no function')"}, "bad.py", r"dilu: .*bad\.py: defines no function.*"),
        ({}, "missing.py", r"dilu: missing\.py: no such file"),
        ({}, "nowhere:f", r"dilu: nowhere: no such module.*"),
        (
            {"x.yaml": "functions:\n  - target: app.py:Double\n    bach: 4\n"},
            "x.yaml",
            r"dilu: .*x\.yaml:3: .*bach.*batch.*",
        ),
        (
            {"x.yaml": "functions:\n  - target: app.py:Double\n    sm_request: 300\n    sm_limit: 200\n"},
            "x.yaml",
            r"dilu: .*x\.yaml:4: .*sm_limit.*",
        ),
        (
            {"x.yaml": "functions:\n  - target: app.py\n"},
            "x.yaml",
            r"dilu: app\.py: holds 2 functions, list each one.*",
        ),
    ],
)
def test_what_cannot_be_served_is_one_line(
    platform: PlatformProcess, files: dict[str, str], target: str, line: str
) -> None:
    folder = platform.log_path.parent / "app"
    for name, content in files.items():
        (folder / name).write_text(content)
    refused = run_command(platform, "up", target, "--name", "other", "--port", "0")
    assert refused.returncode == 2
    assert re.fullmatch(line + "\n", refused.stderr), refused.stderr


def test_an_application_file_says_names_overrides_and_hosts() -> None:
    with platforms() as start:
        application = """
            name: pair
            gateway: {route: host}
            functions:
              - {target: "app.py:Double", name: first, min_scale: 1, slo_ms: 50, env: {GREETING: hello}}
              - {target: "app.py:Double", name: second, policy: kpa}
        """
        up = start(SOURCE, target="app.py", wait=False)
        (up.log_path.parent / "app" / "dilu.yaml").write_text(textwrap.dedent(application))
        both = start(SOURCE, target="dilu.yaml")
        both.wait_for_ready("first", 1)
        assert (both.function("first")["slo_ms"], both.function("second")["policy"]) == (50.0, "kpa")
        answer = both.post("/", 3.0, headers={"Host": "first.localhost"})
        assert answer.json() == 6.0
        assert both.post("/first", 3.0, headers={"Host": "elsewhere"}).status == 404
        # Two are up now: what is asked for decides which one is meant, or a name does.
        called = run_command(both, "invoke", "first", "--data", "5")
        assert (called.returncode, called.stdout) == (0, "10.0")
        up.wait_until_up()
        assert "several are up (app, pair): choose one with --name" in run_command(both, "logs").stderr


def test_ps_shows_the_others_when_one_is_silent() -> None:
    with platforms() as start:
        first = start(SOURCE, "--name", "first")
        silent = start(SOURCE, "--name", "silent")
        silent.signal(signal.SIGSTOP)
        try:
            began_s = time.monotonic()
            shown = run_command(first, "ps")
            took_s = time.monotonic() - began_s
            called = run_command(first, "invoke", "double", "--data", "4", "--name", "first")
        finally:
            silent.signal(signal.SIGCONT)
        assert shown.returncode == 1
        assert re.search(r"first +http://", shown.stdout)
        assert shown.stderr == f"dilu: silent (pid {silent.process.pid}) does not answer within 2 s; is it stopped?\n"
        assert 2.0 <= took_s < 20.0  # a process has to start, too, on a machine that may be busy
        assert called.stdout == "8.0"


def test_when_nothing_is_up_the_commands_say_so() -> None:
    with platforms() as start:
        up = start(SOURCE)
        up.process.terminate()
        assert up.wait() == 0
        for command in (["ps"], ["logs"], ["invoke", "double", "--data", "1"]):
            called = run_command(up, *command)
            assert called.returncode == 2
            assert called.stderr == "dilu: nothing is up; start something with `dilu up app.py`\n"


def test_a_file_named_like_a_module_of_python_does_not_replace_it() -> None:
    with platforms() as start:
        up = start("import dilu\n@dilu.function\ndef draw(x: int): return x\n")
        (up.root.parent / "app" / "random.py").write_text("raise RuntimeError('the wrong one')\n")
        assert up.post("/draw", 4).json() == 4
