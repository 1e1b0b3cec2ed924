"""The wheel holds every package whole, each module of it can be imported, and the images are built from all of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
WHEEL: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
PACKAGES: Final = [Path(package) for package in WHEEL["packages"]]
DOCKERFILES: Final = sorted((ROOT / "runtime-image").glob("*Dockerfile"))

# Runs in a process in which the wheel's content comes first on the path. A `__main__` would run.
IMPORT_ALL: Final = """
import importlib, json, pkgutil, sys
folder, *packages = sys.argv[1:]
sys.path.insert(0, folder)
names = [found.name for package in packages for found in pkgutil.walk_packages([f"{folder}/{package}"], f"{package}.")]
modules = [importlib.import_module(name) for name in [*packages, *names] if not name.endswith(".__main__")]
print(json.dumps({module.__name__: module.__file__ for module in modules}))
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel's content; a wheel of Python alone is installed by unpacking it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    [wheel] = folder.glob("*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "content")
    return folder / "content"


def files_of(folder: Path) -> set[str]:
    """All files below a package's folder, with the package's name first."""
    found = (path.relative_to(folder.parent) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if "__pycache__" not in path.parts}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_each_file_of_a_package_is_in_the_wheel(unpacked: Path, package: Path) -> None:
    assert files_of(ROOT / package) == files_of(unpacked / package.name)
    assert (unpacked / package.name / "py.typed").exists(), "type checkers ignore a package without it"


def test_files_that_are_not_python_are_in_the_wheel(unpacked: Path) -> None:
    suffixes = {path.suffix for path in unpacked.rglob("*") if not path.parts[-2].endswith(".dist-info")}
    assert {".html", ".proto", ".tmpl", ".typed", ".yaml"} <= suffixes


def test_each_module_is_imported_from_the_wheel(unpacked: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", IMPORT_ALL, str(unpacked), *(package.name for package in PACKAGES)]
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    imported: dict[str, str] = json.loads(done.stdout)
    elsewhere = {name: file for name, file in imported.items() if not Path(file).is_relative_to(unpacked)}
    assert elsewhere == {}
    sources = [path for package in PACKAGES for path in (unpacked / package.name).rglob("*.py")]
    assert len(imported) == len([path for path in sources if path.name != "__main__.py"])


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_is_built_from_all_packages(dockerfile: Path) -> None:
    folders = {package.parts[0] for package in PACKAGES}
    copied = re.findall(r"^COPY (\S+) /build/source/\1$", dockerfile.read_text(), re.MULTILINE)
    sent = [
        line.removeprefix("!") for line in dockerfile.with_name(f"{dockerfile.name}.dockerignore").read_text().split()
    ]
    assert set(copied) == folders
    assert folders <= set(sent)


def test_the_source_archive_and_the_checks_know_all_packages() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    folders, names = {package.parts[0] for package in PACKAGES}, {package.name for package in PACKAGES}
    assert {f"/{folder}" for folder in folders} <= set(tools["hatch"]["build"]["targets"]["sdist"]["include"])
    assert folders <= set(tools["ruff"]["src"])
    assert folders <= set(tools["mypy"]["files"]) & set(tools["mypy"]["mypy_path"])
    assert names == set(tools["importlinter"]["root_packages"])
