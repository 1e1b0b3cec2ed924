"""`dilu annotations`: the annotations of a Knative Service, unchanged by a shell, a YAML file or a program."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dilu.cli.annotations import written
from dilu.errors import ConfigError
from dilu.spec import from_annotations, function_spec, to_annotations

APP = """
import dilu

print("a module may print")

@dilu.function(name="embed", batch=16, slo_ms=60, sm_request=300, sm_limit=600, gpu_memory="2Gi", max_scale=4)
def embed(texts: list[str]) -> list[int]:
    return [len(text) for text in texts]
"""
SECOND = """
@dilu.function
def other(text: str) -> str:
    return text
"""
WANTED = {
    "dilu.dev/kind": "inference",
    "dilu.dev/slo-ms": "60",
    "dilu.dev/batch": "16",
    "dilu.dev/sm-request": "300",
    "dilu.dev/sm-limit": "600",
    "dilu.dev/gpu-memory": "2Gi",
    "autoscaling.knative.dev/max-scale": "4",
}


def run(target: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from dilu.cli.annotations import annotations; annotations(sys.argv[1:], prog_name='dilu')"
    return subprocess.run(
        [sys.executable, "-c", code, target, *options], cwd=folder, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def test_the_flags_are_what_a_shell_makes_of_them(folder: Path) -> None:
    done = run("app.py", folder)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()  # as `$(…)` does
    assert words == shlex.split(done.stdout)
    assert words[::2] == ["--annotation"] * len(WANTED)
    assert dict(word.split("=", 1) for word in words[1::2]) == WANTED


def test_json_and_yaml_say_the_same(folder: Path) -> None:
    assert json.loads(run("app.py", folder, "--format", "json").stdout) == WANTED
    read = yaml.safe_load(run("app.py:embed", folder, "--format", "yaml").stdout)
    assert read == WANTED  # texts all of them: Kubernetes refuses a number here


def test_what_is_printed_reads_back_as_the_same_function(folder: Path) -> None:
    read = from_annotations("embed", json.loads(run("app.py", folder, "--format", "json").stdout))
    assert (read.sm_request, read.sm_limit, read.gpu_memory_mib, read.max_scale) == (300, 600, 2048, 4)


def test_what_the_module_prints_is_in_no_flag(folder: Path) -> None:
    done = run("app.py", folder)
    assert "a module may print" in done.stderr
    assert "print" not in done.stdout


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        (APP + SECOND, "app.py", "defines 2 functions, name one: app.py:embed, app.py:other"),
        (APP, "app.py:nothing", "nothing does not exist"),
        ("raise ValueError('x')", "app.py", "ValueError: x"),
        (APP, "none.py", "none.py"),
    ],
)
def test_an_error_is_one_line_on_standard_error_and_exit_code_2(
    tmp_path: Path, source: str, target: str, says: str
) -> None:
    (tmp_path / "app.py").write_text(source)
    done = run(target, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("dilu: ")
    assert says in last


def test_a_value_that_a_shell_would_change_is_refused_as_a_flag_only() -> None:
    found = {"dilu.dev/affinity-group": "a b"}
    with pytest.raises(ConfigError, match=r"dilu\.dev/affinity-group = 'a b': a shell would change it"):
        written(found, "kn")
    assert yaml.safe_load(written(found, "yaml")) == found


def test_no_function_has_such_a_value() -> None:
    spec = function_spec("f", affinity_group="shop", gpu_memory="1536Mi", rps_request=12.5, sm_request=1, sm_limit=1)
    assert written(to_annotations(spec), "kn").count("\n") == len(to_annotations(spec))
