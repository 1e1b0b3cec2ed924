"""`dilu new`: every template passes its own test and serves; nothing is overwritten."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from dilu.cli.new import new, write_function
from dilu.errors import ConfigError
from dilu.spec.documents import read_application

ROOT = Path(__file__).resolve().parents[2]
SERVED = ["plain", "batch", "streaming", "torch", "flask"]
TEMPLATES = [*SERVED, "training"]
COMMON = {".gitignore", "README.md", "app.py", "requirements.txt", "test_app.py"}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # they take seconds to import
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


@pytest.fixture(scope="module")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy knows of the SDK, for all templates."""
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_template_passes_its_own_test(template: str, tmp_path: Path) -> None:
    write_function("text-score", template, tmp_path)
    done = run(tmp_path, "pytest", "-q", "-W", "error", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    if template != "torch" or importlib.util.find_spec("torch") is not None:
        assert "2 passed" in done.stdout


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_template_is_tidy(template: str, tmp_path: Path) -> None:
    write_function("text-score", template, tmp_path)
    for check in (
        ["ruff", "check", "--isolated", "--select", "E,F,I,UP,B,PT,SIM"],
        ["ruff", "format", "--isolated", "--check"],
    ):
        done = run(tmp_path, *check, "--no-cache", ".")
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("template", ["batch", "streaming", "training"])
def test_templates_are_typed(template: str, tmp_path: Path, mypy_cache: Path) -> None:
    write_function("text-score", template, tmp_path)
    options = ["--strict", "--ignore-missing-imports", "--follow-imports=silent", f"--cache-dir={mypy_cache}"]
    done = run(tmp_path, "mypy", *options, "app.py", "test_app.py")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("template", TEMPLATES)
def test_nothing_is_left_to_fill_in(template: str, tmp_path: Path) -> None:
    for path in write_function("text-score", template, tmp_path):
        text = path.read_text()
        assert "{{" not in text
        assert text.endswith("\n")
        if path.suffix == ".py":
            ast.parse(text)


@pytest.mark.parametrize("template", SERVED)
def test_dilu_yaml_names_the_function_of_the_module(template: str, tmp_path: Path) -> None:
    written = write_function("text-score", template, tmp_path)
    assert {path.name for path in written} == COMMON | {"dilu.yaml"}
    application = read_application(tmp_path / "dilu.yaml")
    (entry,) = application.functions
    done = run(tmp_path, "dilu", "describe", entry.target)
    assert done.returncode == 0, done.stderr
    assert '"name":"text-score"' in done.stdout


def test_a_training_is_run_and_has_no_dilu_yaml(tmp_path: Path) -> None:
    written = write_function("text-score", "training", tmp_path)
    assert {path.name for path in written} == COMMON


def test_the_command_says_what_it_wrote_and_what_comes_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(new, ["embed", "--template", "batch"])
    assert done.exit_code == 0, done.output
    assert "wrote embed/app.py\n" in done.output
    assert done.output.endswith("next: cd embed && pytest && dilu serve app.py\n")
    assert "class Embed:" in (tmp_path / "embed/app.py").read_text()


def test_the_folder_may_be_another_one_and_may_hold_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = CliRunner().invoke(new, ["embed", "--dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "app.py").is_file()


@pytest.mark.parametrize("there", ["app.py", ".gitignore", "README.md"])
def test_nothing_is_overwritten_and_nothing_is_half_written(there: str, tmp_path: Path) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(ConfigError, match=f"{there} exists and is not overwritten"):
        write_function("embed", "plain", tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "mine")]


def test_a_link_that_leads_nowhere_counts_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "app.py").symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(ConfigError, match=r"app\.py exists"):
        write_function("embed", "plain", tmp_path)
    assert not (tmp_path / "elsewhere.py").exists()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "embed").write_text("")
    with pytest.raises(ConfigError, match="embed: is a file"):
        write_function("embed", "plain", tmp_path / "embed")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file/embed: cannot be written: Not a directory"):
        write_function("embed", "plain", tmp_path / "file" / "embed")


@pytest.mark.parametrize("name", ["", "Embed", "a_b", "a b", "-a", "a-", "../up", "a.b", "é", "x" * 64])
def test_what_is_no_name_of_a_function_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"name = .*must be 1 to 63 of a-z, 0-9 and -"):
        write_function(name, "plain", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize(
    ("name", "template", "attribute"),
    [
        ("3d", "plain", "3d is not a valid name"),
        ("class", "plain", "class is reserved"),
        ("float", "plain", "float is reserved"),
        ("dilu", "plain", "dilu is reserved"),
        ("hello", "flask", "hello is reserved"),
        ("iterator", "training", "Iterator is reserved"),
        ("none", "batch", "None is reserved"),
    ],
)
def test_what_is_no_name_in_python_is_refused(name: str, template: str, attribute: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{attribute}.*choose another name, such as my-{name}"):
        write_function(name, template, tmp_path / "folder")


def test_the_command_is_an_entry_point_and_the_templates_are_beside_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["dilu.commands"]["new"] == "dilu.cli.new:new"
    templates = ROOT / "sdk/dilu/cli/templates"
    assert sorted(path.name for path in templates.iterdir()) == sorted([*TEMPLATES, "common"])
    assert {path.suffix for path in templates.rglob("*") if path.is_file()} == {".tmpl"}
