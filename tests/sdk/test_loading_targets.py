"""`FILE.py:NAME` and `MODULE:NAME`: what is found, and one clear line when it is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dilu.errors import LoadError
from dilu.loading import load_function, load_functions

TWO = """
import dilu

@dilu.function
def first(x: int) -> int:
    return x

@dilu.function
class Second:
    def predict(self, x: int) -> int:
        return x

undecorated = 3
"""


@pytest.fixture(autouse=True)
def _clean_modules() -> Iterator[None]:
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path[:] = path


def test_functions_come_in_the_order_of_the_source(tmp_path: Path) -> None:
    (tmp_path / "two_app.py").write_text(TWO)
    assert list(load_functions(f"{tmp_path}/two_app.py")) == ["first", "Second"]
    assert load_function(f"{tmp_path}/two_app.py:Second").spec.name == "second"


def test_a_module_on_the_path_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "named_app.py").write_text(TWO)
    monkeypatch.chdir(tmp_path)
    assert load_function("named_app:first").spec.name == "first"


def test_a_file_may_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("factor = 3\n")
    (tmp_path / "near_app.py").write_text("import dilu, neighbour\n@dilu.function\ndef f(x: int) -> int: return x\n")
    assert load_function(f"{tmp_path}/near_app.py").spec.name == "f"


def test_a_function_imported_from_elsewhere_is_found_by_name_only(tmp_path: Path) -> None:
    (tmp_path / "origin_app.py").write_text(TWO)
    (tmp_path / "user_app.py").write_text("from origin_app import first\n")
    assert load_function(f"{tmp_path}/user_app.py:first").spec.name == "first"
    with pytest.raises(LoadError, match="holds no function"):
        load_functions(f"{tmp_path}/user_app.py")


CASES = [
    ("", "x.py:", "must be FILE.py"),
    (TWO, "{file}", r"holds 2 functions, say which one: .*:first, .*:Second"),
    (TWO, "{file}:third", r"third does not exist in .*; it has first, Second"),
    (TWO, "{file}:undecorated", "undecorated is not decorated"),
    ("x = 1\n", "{file}", "holds no function; decorate"),
    ("def f(:\n", "{file}", r"broken_app\.py:1: .*def f\(:"),
    (
        "\n\nimport not_a_module_here\n",
        "{file}",
        r"broken_app\.py:3: ModuleNotFoundError: No module named 'not_a_module",
    ),
    ("def g():\n    raise RuntimeError('boom\\nmore')\ng()\n", "{file}", r"broken_app\.py:2: RuntimeError: boom$"),
    ("", "{file}.missing.py", "no such file"),
    ("", "not_a_module_here:f", "no such module"),
]


@pytest.mark.parametrize(("text", "target", "message"), CASES, ids=[case[2][:25] for case in CASES])
def test_what_cannot_be_loaded_is_said_in_one_line(tmp_path: Path, text: str, target: str, message: str) -> None:
    path = tmp_path / "broken_app.py"
    path.write_text(text)
    with pytest.raises(LoadError, match=message) as caught:
        load_function(target.format(file=path))
    assert "\n" not in str(caught.value)
