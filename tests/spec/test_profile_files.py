from pathlib import Path

import pytest

from dilu.errors import ConfigError
from dilu.spec import ColdStart, ExecPoint, Kind, Profile
from dilu.spec.documents import read_profile, write_profile

NEEDED = """\
kind: inference
batch: 16
sm_request: 300
sm_limit: 600
rps_request: 100
rps_limit: 180.5
"""
FULL = """\
kind: inference
batch: 16
sm_request: 300
sm_limit: 600
memory_mib: 2048
rps_request: 100
rps_limit: 180.5
slo_ms: 60
trials: 8
exec_ms:
- {batch: 1, sm_milli: 100, ms: 25.3}
- {batch: 16, sm_milli: 300, ms: 88}
cold_start_ms: {process: 40, import: 2500.5, load: 800, warmup: 0}
machine:
  gpu: A100
  cores: '16'
versions:
  torch: '2.10'
"""


def read(tmp_path: Path, text: str) -> Profile:
    (tmp_path / "profile.yaml").write_text(text)
    return read_profile(tmp_path / "profile.yaml")


def test_a_whole_profile_is_read_and_written_back_as_it_was(tmp_path: Path) -> None:
    profile = read(tmp_path, FULL)
    assert profile == Profile(
        kind=Kind.INFERENCE,
        batch=16,
        sm_request=300,
        sm_limit=600,
        memory_mib=2048,
        rps_request=100,
        rps_limit=180.5,
        exec_ms=(ExecPoint(batch=1, sm_milli=100, ms=25.3), ExecPoint(batch=16, sm_milli=300, ms=88)),
        cold_start_ms=ColdStart(process_ms=40, import_ms=2500.5, load_ms=800, warmup_ms=0),
        slo_ms=60,
        machine={"gpu": "A100", "cores": "16"},
        versions={"torch": "2.10"},
        trials=8,
    )
    write_profile(profile, tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_text() == FULL


def test_only_the_decisions_are_needed(tmp_path: Path) -> None:
    profile = read(tmp_path, NEEDED)
    assert (profile.memory_mib, profile.slo_ms, profile.exec_ms, profile.cold_start_ms) == (None, None, (), None)
    write_profile(profile, tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_text() == NEEDED


def test_versions_are_what_was_written_even_if_they_look_like_numbers(tmp_path: Path) -> None:
    assert read(tmp_path, NEEDED + "versions: {torch: 2.10, cuda: 12}").versions == {"torch": "2.10", "cuda": "12"}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "the file is empty; its keys are kind, batch, sm_request"),
        (NEEDED.replace("batch: 16\n", ""), 1, "batch: is required"),
        (NEEDED.replace("sm_limit: 600", "sm_limit:"), 4, "sm_limit: is required"),
        (NEEDED.replace("sm_limit: 600", "sm_limit: 299"), 4, "sm_limit: must be at least the request, 300 (seen 299)"),
        (NEEDED.replace("batch: 16", "batch: 0"), 2, "batch: must be a whole number from 1 to 2147483647 (seen 0)"),
        (
            NEEDED.replace("inference", "model"),
            1,
            "kind: must be one of inference, llm-inference, training (seen 'model')",
        ),
        (NEEDED + "memory: 3\n", 7, "memory: unknown key; did you mean memory_mib?"),
        (NEEDED + "memory_mib: 2Gi\n", 7, "memory_mib: must be a whole number of MiB from 1 to 4194304 (seen '2Gi')"),
        (NEEDED + "trials: 0\n", 7, "trials: must be a whole number from 1 to 2147483647 (seen 0)"),
        (NEEDED + "exec_ms: 3\n", 7, "exec_ms: must be a list (seen '3')"),
        (NEEDED + "exec_ms:\n- 3\n", 8, "exec_ms[0]: must be a mapping of keys to values (seen '3')"),
        (NEEDED + "exec_ms:\n- {batch: 1, ms: 2}\n", 8, "sm_milli: is required"),
        (NEEDED + "exec_ms:\n- batch: 1\n  sm_milli: 1\n  ms: -2\n", 10, "ms: must be a number above 0 (seen -2)"),
        (NEEDED + "exec_ms:\n- {batch: 1, sm: 2}\n", 8, "sm: unknown key; "),
        (
            NEEDED + "exec_ms:\n- {batch: 1, sm_milli: 5, ms: 2}\n- {batch: 1, sm_milli: 5, ms: 3}\n",
            7,
            "exec_ms: holds batch 1 at 5 milli-GPU twice",
        ),
        (NEEDED + "cold_start_ms: {process: 1}\n", 7, "cold_start_ms.import: is required"),
        (
            NEEDED + "cold_start_ms:\n  process: 1\n  import: 1\n  load: -1\n  warmup: 1\n",
            10,
            "cold_start_ms.load: must be a number of at least 0 (seen -1)",
        ),
        (NEEDED + "machine: A100\n", 7, "machine: must be a mapping of keys to values (seen 'A100')"),
        (NEEDED + "machine:\n  gpu:\n", 8, "machine.gpu: has no value; write an empty text as ''"),
        (NEEDED + "versions:\n  torch: [1]\n", 8, "versions.torch: must be a single value (seen a list)"),
        (NEEDED + 'versions:\n  torch: "\\ud800"\n', 8, "versions.torch: must be Unicode text without NUL characters"),
    ],
)
def test_an_error_says_file_line_key_and_rule(tmp_path: Path, text: str, line: int, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/profile.yaml:{line}: {says}")
    assert "\n" not in str(caught.value)
