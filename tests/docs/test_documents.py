"""The documents are true: links lead somewhere, dependencies have reasons, names that people see are explained."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in ("node_modules", "demo-out") for part in path.relative_to(ROOT).parts)
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not missing


def required_packages() -> list[str]:
    project = PROJECT["project"]
    requirements = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        requirements += extra
    for group in PROJECT["dependency-groups"].values():
        requirements += group
    names = {re.split(r"[\[<>=~; ]", requirement)[0] for requirement in requirements}
    return sorted(names - {"dilu"})


@pytest.mark.parametrize("package", required_packages())
def test_each_dependency_has_its_reason(package: str) -> None:
    assert f"`{package}`" in (ROOT / "docs/dependencies.md").read_text()


def test_the_first_commands_of_the_readme_are_demo_and_test() -> None:
    block = (ROOT / "README.md").read_text().split("```sh\n", 1)[1]
    assert [line.split("#")[0].strip() for line in block.splitlines()[:2]] == ["make demo", "make test"]


def test_each_decision_is_in_the_index() -> None:
    index = (ROOT / "docs/adr/README.md").read_text()
    assert [page.name for page in sorted((ROOT / "docs/adr").glob("0*.md")) if page.name not in index] == []


def test_each_package_folder_is_in_the_architecture() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    folders = [
        init.parent.relative_to(ROOT)
        for part in ("sdk", "kube", "autoscaler", "scheduler-extender", "simulator")
        for init in (ROOT / part).rglob("__init__.py")
        if len(init.parent.relative_to(ROOT).parts) > 2
    ]
    assert [str(folder) for folder in folders if f"`{folder}/`" not in text] == []


def test_each_module_beside_the_loop_is_in_the_architecture() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    modules = (ROOT / "autoscaler/dilu_autoscaler").glob("[a-z]*.py")
    assert [str(path.relative_to(ROOT)) for path in modules if f"`{path.relative_to(ROOT)}`" not in text] == []


def test_each_subcommand_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    commands = set(PROJECT["project"]["entry-points"]["dilu.commands"]) - {"describe"}
    assert sorted(command for command in commands if f"dilu {command}" not in text) == []


def test_the_wheel_names_each_package_and_no_tests() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    parts = ("sdk", "kube", "autoscaler", "scheduler-extender", "simulator")
    assert sorted(packages) == sorted(
        str(init.parent.relative_to(ROOT)) for part in parts for init in packages_of(part)
    )
    assert not [path for package in packages for path in (ROOT / package).rglob("test_*.py")]


def packages_of(part: str) -> list[Path]:
    return list((ROOT / part).glob("*/__init__.py"))
