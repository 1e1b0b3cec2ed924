"""`FILE.py:NAME` and `MODULE:NAME`: what is found, and one clear line when it is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dilu.errors import LoadError
from dilu.loading import file_location, load_function, load_functions

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
    with pytest.raises(LoadError, match="defines no function"):
        load_functions(f"{tmp_path}/user_app.py")


def test_a_link_to_a_file_without_suffix_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "blob").write_text(TWO)
    (tmp_path / "linked_app.py").symlink_to(tmp_path / "blob")
    assert list(load_functions(f"{tmp_path}/linked_app.py")) == ["first", "Second"]
    assert file_location(tmp_path / "linked_app.py") == tmp_path / "linked_app.py"


def test_a_link_to_another_module_loads_that_module_once(tmp_path: Path) -> None:
    (tmp_path / "real_app.py").write_text(TWO)
    (tmp_path / "alias_app.py").symlink_to(tmp_path / "real_app.py")
    assert file_location(tmp_path / "alias_app.py") == tmp_path / "real_app.py"
    assert load_function(f"{tmp_path}/alias_app.py:first").spec.name == "first"


@pytest.mark.parametrize("target", ["pkg/app.py:f", "pkg/inner/app.py"])
def test_a_relative_import_in_a_file_is_answered_with_the_package_form(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / target.partition(":")[0]
    file.parent.mkdir(parents=True)
    (tmp_path / "pkg" / "__init__.py").touch()
    (file.parent / "near.py").touch()
    file.write_text("import dilu\nfrom . import near\n@dilu.function\ndef f(x: int) -> int: return x\n")
    dotted = target.partition(".py")[0].replace("/", ".")
    with pytest.raises(LoadError, match=rf"app\.py:2: .*; in {tmp_path}, name the target {dotted}:NAME"):
        load_functions(target)
    assert load_function(f"{dotted}:f").spec.name == "f"


def test_ctrl_c_while_a_module_is_imported_is_no_load_error(tmp_path: Path) -> None:
    (tmp_path / "interrupted_app.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_functions(f"{tmp_path}/interrupted_app.py")


WRAPPED = """
import functools, dilu

def twice(handler):
    @functools.wraps(handler)
    def wrapper(x): return handler(handler(x))
    return wrapper

@twice
@dilu.function
def f(x): return x + 1
"""
SLOTTED = """
import dataclasses, dilu

@dataclasses.dataclass(slots=True)
@dilu.function
class F:
    size: int = 3
    def predict(self, x): return x
"""


def test_a_wrapper_beside_the_function_that_it_wraps_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "both_app.py").write_text(WRAPPED.replace("@twice\n", "") + "g = twice(f)\n")
    assert list(load_functions(f"{tmp_path}/both_app.py")) == ["f"]
    with pytest.raises(LoadError, match="g is wrapped by a decorator above"):
        load_function(f"{tmp_path}/both_app.py:g")


MUST_BE = "must be FILE.py, FILE.py:NAME, MODULE or MODULE:NAME"
CASES = [
    ("", "x.py:", "must be FILE.py"),
    ("", ".hidden", MUST_BE),
    ("", "a..b:f", MUST_BE),
    ("", "...", MUST_BE),
    ("", "", MUST_BE),
    ("", ".", "'.': is a folder; name the file in it"),
    ("", "..:f", "'..:f': is a folder; name the file in it"),
    ("", "{file.parent}/", "is a folder; name the file in it"),
    ("import sys\nsys.exit(0)\n", "{file}", r"broken_app\.py:2: SystemExit: 0$"),
    ("import sys\nsys.exit()\n", "{file}", r"broken_app\.py:2: SystemExit$"),
    ("raise SystemExit('no weights\\nfound')\n", "{file}", r"broken_app\.py:1: SystemExit: no weights$"),
    ("next(iter([]))\n", "{file}", r"broken_app\.py:1: StopIteration$"),
    ("raise GeneratorExit\n", "{file}", r"broken_app\.py:1: GeneratorExit$"),
    (
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E\n",
        "{file}",
        r"broken_app\.py:3: E: its text cannot be read$",
    ),
    ("x = 1\0", "{file}", "source code string cannot contain null bytes$"),
    ("import dilu\n\ndilu.function('f')\n", "{file}", r"broken_app\.py:3: ConfigError: .*the name is a keyword"),
    (WRAPPED, "{file}", "f is wrapped by a decorator above @dilu.function, which would not be served"),
    (WRAPPED, "{file}:f", "f is wrapped by a decorator above @dilu.function"),
    (WRAPPED.replace("twice\n@dilu", "functools.lru_cache\n@dilu"), "{file}", "f is wrapped by a decorator above"),
    (SLOTTED, "{file}", "F is wrapped by a decorator above"),
    (TWO, "{file}", r"defines 2 functions, name one: .*:first, .*:Second"),
    (TWO, "{file}:third", r"third does not exist in .*; it has first, Second"),
    (TWO, "{file}:undecorated", "undecorated is not decorated"),
    ("x = 1\n", "{file}", "defines no function; decorate"),
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


@pytest.mark.parametrize(("text", "target", "message"), CASES, ids=[case[2][-25:] for case in CASES])
def test_what_cannot_be_loaded_is_said_in_one_line(tmp_path: Path, text: str, target: str, message: str) -> None:
    path = tmp_path / "broken_app.py"
    path.write_text(text)
    with pytest.raises(LoadError, match=message) as caught:
        load_function(target.format(file=path))
    assert "\n" not in str(caught.value)
