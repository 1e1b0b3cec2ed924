"""`dilu new`: a folder with a function, a passing test and the files to serve it."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import click

from dilu.errors import ConfigError

_TEMPLATES = Path(__file__).with_name("templates")
_COMMON = "common"
_SUFFIX = ".tmpl"
_IGNORE_FILE = "gitignore"  # without its dot, so that git does not apply it here
# Names that the templates' code uses.
_TAKEN = frozenset({"app", "dilu", "hello", "pytest", "testing", "Flask", "Iterator", "Path"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One kind of function, and its part of the README."""

    purpose: str
    is_class: bool = False
    example: str = '"two words"'  # one item, as JSON
    curl_option: str = "-s"
    is_served: bool = True  # False: it is run by `dilu run`


_KINDS: Mapping[str, Template] = {
    "plain": Template(purpose="A function that takes one JSON value and returns one."),
    "batch": Template(
        purpose="A function that takes a batch of items at once; an item that fails fails alone.",
        is_class=True,
        example='"a good day"',
    ),
    "streaming": Template(
        purpose="A function that sends its answer part by part, as server-sent events.",
        example='"one two three"',
        curl_option="-N",
    ),
    "torch": Template(
        purpose="A PyTorch model that runs batches. Its weights are random: replace them with yours.",
        is_class=True,
        example="[0.1, 0.2, 0.3, 0.4]",
    ),
    "training": Template(
        purpose="A training function that can be stopped at any iteration and resumed.", is_class=True, is_served=False
    ),
    "flask": Template(purpose="A Flask application with a function beside its routes."),
}


@click.command()
@click.argument("name")
@click.option(
    "--template",
    type=click.Choice(list(_KINDS)),
    default="plain",
    show_default=True,
    help="The kind of function.",
)
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Folder for the files.  [default: ./NAME]")
def new(name: str, template: str, folder: Path | None) -> None:
    """Create a function called NAME (lower case, with hyphens) and a passing test.

    \b
    dilu new sentiment --template batch
    cd sentiment && pytest

    Existing files are not overwritten.
    """
    folder = folder or Path(name)
    written = write_function(name, template, folder)
    for path in written:
        click.echo(f"wrote {path}")
    verb = "serve" if _KINDS[template].is_served else "run"
    click.echo(f"next: cd {folder} && pytest && dilu {verb} app.py")


def write_function(name: str, template: str, folder: Path) -> list[Path]:
    """Write the files of a new function into `folder`, and return their paths.

    Raise `ConfigError`, and write nothing, if the name is invalid or one of the files exists.
    """
    kind = _KINDS[template]
    contents = _contents(template, _values(name, kind))
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file, must be a folder or must not exist")
    there = [path for path in contents if (folder / path).exists() or (folder / path).is_symlink()]
    if there:
        raise ConfigError(f"{folder}: {', '.join(there)} exists and is not overwritten; choose another --dir")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_write(folder / path, text) for path, text in contents.items()]
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: cannot be written: {error.strerror or error}") from error


def _write(path: Path, text: str) -> Path:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path


def _values(name: str, kind: Template) -> dict[str, str]:
    attribute = _attribute(name, is_class=kind.is_class)
    return {
        "name": name,
        "attribute": attribute,
        "version": version("dilu"),
        "purpose": kind.purpose,
        "example": f"'{kind.example}'",
        "curl": f"curl {kind.curl_option} localhost:8080 -d '{kind.example}'",
    }


def _attribute(name: str, *, is_class: bool) -> str:
    """Return the Python name of the class or function. Raise `ConfigError` if `name` has none that is free."""
    from dilu.spec.fields import label

    label("name", name)
    words = name.split("-")
    attribute = "".join(word.capitalize() for word in words) if is_class else "_".join(words)
    is_taken = attribute in _TAKEN or hasattr(builtins, attribute) or keyword.iskeyword(attribute)
    if is_taken or not attribute.isidentifier():
        reason = "is reserved" if is_taken else "is not a valid name"
        raise ConfigError(f"name = {name!r}: {attribute} {reason} in Python; choose another name, such as my-{name}")
    return attribute


def _contents(template: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return the text of each file: the common files, replaced by the template's own if it has them."""
    sources = {path.name: path for part in (_COMMON, template) for path in (_TEMPLATES / part).iterdir()}
    if not _KINDS[template].is_served:
        del sources["dilu.yaml" + _SUFFIX]
    return {_target_name(name): _filled(path.read_text("utf-8"), values) for name, path in sorted(sources.items())}


def _target_name(name: str) -> str:
    name = name.removesuffix(_SUFFIX)
    return f".{name}" if name == _IGNORE_FILE else name


def _filled(text: str, values: Mapping[str, str]) -> str:
    for key, value in values.items():
        text = text.replace("{{" + key + "}}", value)
    return text
