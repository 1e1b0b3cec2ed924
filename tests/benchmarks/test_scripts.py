"""Each benchmark can be imported without its peers, is found by its name, and is described."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem != "run_all")
# `apps/` holds what runs in a server's process: peers among it, which are not installed here.
_IMPORT_ALL = """
import importlib, json, pathlib, sys
here = pathlib.Path.cwd()
folders = [path.name for path in here.iterdir() if (path / "__init__.py").exists()]
modules = [path.stem for path in here.glob("*.py")]
modules += [f"{name}.{path.stem}" for name in folders for path in (here / name).glob("*.py")]
found = {name: importlib.import_module(name) for name in sorted(modules)}
names = {name: getattr(module, "NAME", None) for name, module in found.items()}
print(json.dumps({"names": names, "scripts": found["run_all"].names()}))
"""


def imported() -> dict[str, dict[str, str | None] | list[str]]:
    command = [sys.executable, "-W", "error", "-c", f"import sys; sys.path.insert(0, '.'){_IMPORT_ALL}"]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str | None] | list[str]] = json.loads(done.stdout)
    return found


def test_all_modules_are_imported_without_peers_and_scripts_bear_their_names() -> None:
    found = imported()
    names = found["names"]
    assert isinstance(names, dict)
    assert {name: names[name] for name in SCRIPTS} == {name: name for name in SCRIPTS}
    assert found["scripts"] == SCRIPTS


def test_each_script_is_in_the_readme() -> None:
    text = (BENCHMARKS / "README.md").read_text()
    assert [name for name in SCRIPTS if f"| `{name}` |" not in text] == []
