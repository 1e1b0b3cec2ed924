"""The guide to the SDK is true: its code runs, its answers are the answers, its names are the names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dilu import testing
from dilu.runtime.reporting.exposition import ReplicaCollector
from dilu.runtime.reporting.metrics import FunctionMetrics
from dilu.spec import names

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "sdk.md").read_text()
BLOCKS: list[str] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
FUNCTIONS = [block for block in BLOCKS if "@dilu.function" in block]
# These need weights that are not there.
STARTED = [block for block in FUNCTIONS if "from_pretrained" not in block]
PRELUDE = "from __future__ import annotations\n\nimport dilu\n\n"


def name_of(block: str) -> str:
    match = re.search(r"(?:class|def) (\w+)[^\n]*:", block.split("@dilu.function", 1)[1])
    assert match is not None
    return match[1]


def written(block: str, folder: Path, name: str = "app.py") -> str:
    path = folder / name
    path.write_text(PRELUDE + block)
    return str(path)


def block_with(text: str) -> str:
    (found,) = (block for block in FUNCTIONS if text in block)
    return found


@pytest.mark.parametrize("block", STARTED, ids=name_of)
def test_each_function_of_the_guide_starts(block: str, tmp_path: Path) -> None:
    with testing.client(written(block, tmp_path)) as client:
        assert client.get("/openapi.json").status == 200


def test_the_first_handler_answers_as_the_guide_says(tmp_path: Path) -> None:
    with testing.client(written(block_with("class Score"), tmp_path)) as score:
        assert score.call("a good day") == 1.0


def test_the_streamed_answer_is_as_the_guide_says(tmp_path: Path) -> None:
    shown = GUIDE.split("curl -N localhost:8080 -d '\"one two\"'\n```\n\n```\n", 1)[1].split("```", 1)[0]
    with testing.client(written(block_with("def speak"), tmp_path)) as speak:
        assert speak.post("one two").body.decode() == shown


def test_the_error_of_a_wrong_type_is_as_the_guide_says(tmp_path: Path) -> None:
    item = {"kind": "line", "points": [{"x": 1, "y": 2}, {"x": 1, "y": "2"}]}
    with testing.client(written(block_with("def weigh"), tmp_path)) as weigh:
        answer = weigh.post(item, headers={"X-Request-Id": "..."})
    assert answer.body.decode() in GUIDE


def test_the_test_of_the_guide_passes(tmp_path: Path) -> None:
    written(block_with("class Score"), tmp_path)
    (test,) = (block for block in BLOCKS if "def test_" in block)
    (tmp_path / "test_app.py").write_text(test)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # they take seconds to import
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_the_guide_names_each_metric() -> None:
    collector = ReplicaCollector([FunctionMetrics("f", slo_s=None)], version="1")
    families = {family.name for family in collector.collect()} - {"dilu"}
    text = set(re.findall(r"`(dilu_\w+)`", GUIDE))
    exported = {name if f"{name}_total" not in text else f"{name}_total" for name in families}
    assert exported | {"dilu_gpu_memory_bytes"} == text


def test_the_guide_names_each_reason_of_a_refusal() -> None:
    reasons = [value for key, value in vars(names).items() if key.startswith("REFUSED_")]
    assert [reason for reason in reasons if f"`{reason}`" not in GUIDE] == []


def test_the_guide_names_each_example() -> None:
    folders = [path.name for path in (Path(__file__).resolve().parents[2] / "examples").iterdir() if path.is_dir()]
    assert [name for name in folders if not name.startswith("_") and f"[`{name}`]" not in GUIDE] == []
