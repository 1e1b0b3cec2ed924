"""Check that a class name means one thing: `python tools/check_class_names.py`.

Two classes of one name, whatever underscore leads it, need an entry with a reason in check_class_names.toml.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_suffix(".toml")
FOLDERS = ("sdk", "kube", "autoscaler", "scheduler-extender", "simulator")


def class_names(source: str) -> list[str]:
    """Return the names of the classes that a module defines, nested ones too, without leading underscores."""
    return [node.name.lstrip("_") for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]


def shared_names(sources: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names that more than one class has, with the paths of their modules."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, source in sources:
        for name in class_names(source):
            places[name].append(path)
    return {name: paths for name, paths in sorted(places.items()) if len(paths) > 1}


def problems(shared: dict[str, list[str]], reasons: dict[str, str]) -> list[str]:
    """Return a line for each shared name without a reason, and for each reason without a shared name."""
    unlisted = [
        f"class {name} is defined {len(paths)} times: {', '.join(paths)}; rename all but one, or give the reason in "
        f"{LIST.name}"
        for name, paths in shared.items()
        if name not in reasons
    ]
    unneeded = [f"{LIST.name}: {name} is defined once only" for name in reasons if name not in shared]
    return unlisted + unneeded


def main() -> int:
    """Print the problems and return the exit status."""
    modules = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    shared = shared_names((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in modules)
    reasons: dict[str, str] = tomllib.loads(LIST.read_text(encoding="utf-8"))["reasons"]
    lines = problems(shared, reasons)
    print("\n".join([*lines, f"{len(shared)} shared class names, {len(lines)} problems"]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
