"""YAML files as sections whose keys know their lines, for the readers of schemas."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from dilu.errors import ConfigError
from dilu.spec.fields import FieldError, Position, number_or_text, plain_text, shown, unknown_key

MAX_BYTES: Final = 256 * 1024  # PyYAML reads about 100 KiB a second
MAX_ALIASES: Final = 100  # bounds the work that a small file can cause, because each alias repeats its target

_TAG: Final = "tag:yaml.org,2002:"
_CONTAINER_TAGS: Final = frozenset({_TAG + "map", _TAG + "seq"})
_SCALAR_TAGS: Final = frozenset(
    _TAG + tag for tag in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)
_BOOLEANS: Final = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}  # YAML 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One mapping of a YAML file."""

    position: Position
    nodes: Mapping[str, yaml.Node]
    path: str = ""  # the prefix of its keys, such as "gateway."

    def __contains__(self, key: str) -> bool:
        return key in self.nodes

    def value(self, key: str) -> object:
        """Return the plain value of the key; None if it is missing or null."""
        node = self._scalar(key)
        if node is None or node.tag == _TAG + "null":
            return None
        if node.tag == _TAG + "bool":
            return _BOOLEANS.get(node.value.lower(), node.value)
        # YAML 1.1 also reads 0x10, 010, 1_000 and 1:30 as numbers, which surprises users; here they stay texts.
        return number_or_text(node.value) if node.tag in (_TAG + "int", _TAG + "float") else node.value

    def text(self, key: str) -> str | None:
        """Return the text of the key's value, whatever its YAML type; None if it is missing or null."""
        node = self._scalar(key)
        return None if node is None or node.tag == _TAG + "null" else node.value

    def section(self, key: str, known: Collection[str] | None) -> Section | None:
        """Return the mapping under the key, whose keys must be among `known`; None if it is missing or null."""
        node = self._container(key)
        return None if node is None else _section(self.position.file, node, known, f"{self.path}{key}.")

    def sections(self, key: str, known: Collection[str]) -> list[Section]:
        """Return the list of mappings under the key; empty if it is missing or null."""
        node = self._container(key)
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            raise self.position.locate(FieldError(self.path + key, "must be a list", _NodeKind(node)))
        file = self.position.file
        return [_section(file, item, known, "", name=f"{key}[{index}]") for index, item in enumerate(node.value)]

    def texts(self) -> dict[str, str]:
        """Return the text of every key's value."""
        texts = {key: self.text(key) for key in self.nodes}
        with self.locating():
            for key, text in texts.items():
                if text is None:
                    raise FieldError(key, "has no value; write an empty text as ''")
            return {key: plain_text(key, text) for key, text in texts.items()}

    def require(self, *keys: str) -> None:
        """Raise `ConfigError` if one of the keys is missing or null."""
        for key in keys:
            if self._container(key) is None:
                raise self.position.locate(FieldError(self.path + key, "is required"))

    def locating(self) -> AbstractContextManager[None]:
        """Return a context manager that adds file and line to every `FieldError` of its block."""
        return self.position.locating(self.path)

    def _scalar(self, key: str) -> yaml.ScalarNode | None:
        node = self.nodes.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode):
            raise self.position.locate(FieldError(self.path + key, "must be a single value", _NodeKind(node)))
        return node

    def _container(self, key: str) -> yaml.Node | None:
        node = self.nodes.get(key)
        return None if node is None or node.tag == _TAG + "null" else node


class _NodeKind:
    """The kind of a node, for an error message."""

    def __init__(self, node: yaml.Node) -> None:
        self._node = node

    def __repr__(self) -> str:
        if self._node.tag == _TAG + "null":
            return "nothing"
        if isinstance(self._node, yaml.ScalarNode):
            return shown(self._node.value)
        return "a list" if isinstance(self._node, yaml.SequenceNode) else "a mapping"


def read_section(path: Path, known: Collection[str]) -> Section:
    """Read the mapping of a YAML file. Raise `ConfigError` in one line with the file and, if known, the line."""
    file = str(path)
    root = _compose(file, _read_text(path))
    if root is None:
        raise ConfigError(f"{file}:1: the file is empty; its keys are {', '.join(known)}")
    return _section(file, root, known, "", name="the file")


def _section(file: str, node: yaml.Node, known: Collection[str] | None, path: str, *, name: str = "") -> Section:
    line = _line(node)
    _check_tag(file, node)
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(
            f"{file}:{line}: {name or path[:-1]}: must be a mapping of keys to values (seen {_NodeKind(node)!r})"
        )
    nodes: dict[str, yaml.Node] = {}
    lines: dict[str, int] = {}
    for key_node, value in node.value:
        _check_tag(file, key_node)
        _check_tag(file, value)
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(f"{file}:{_line(key_node)}: a key must be a word (seen {_NodeKind(key_node)!r})")
        key = key_node.value
        position = Position(file=file, line=_line(key_node), key_lines={})
        if known is not None and key not in known:
            raise position.locate(unknown_key(key, known).under(path))
        if key in nodes:
            raise position.locate(
                FieldError(path + key, f"is written twice (the first is at line {lines[path + key]})")
            )
        nodes[key], lines[path + key] = value, position.line
    return Section(position=Position(file=file, line=line, key_lines=lines), nodes=nodes, path=path)


def _check_tag(file: str, node: yaml.Node) -> None:
    if node.tag not in (_SCALAR_TAGS if isinstance(node, yaml.ScalarNode) else _CONTAINER_TAGS):
        raise ConfigError(f"{file}:{_line(node)}: tags are not used here (seen {shown(node.tag)})")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: must be at most {MAX_BYTES // 1024} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: must be UTF-8 (seen byte 0x{data[error.start]:02x})") from None


class _Loader(yaml.SafeLoader):
    """Composes nodes and counts their aliases."""

    aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                mark = self.get_mark()
                raise yaml.composer.ComposerError(None, None, f"more than {MAX_ALIASES} aliases", mark)
        return super().compose_node(parent, index)


def _compose(file: str, text: str) -> yaml.Node | None:
    line = 1
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            line = loader.line + 1
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else line
        problem = ": ".join(part for part in (error.context, error.problem) if part)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        problem = f"{error.reason} (seen character 0x{ord(text[error.position]):02x})"
    except RecursionError:
        problem = "nested too deeply"
    except (ValueError, OverflowError):  # PyYAML does not wrap errors of invalid escapes
        problem = "an escape names no character"
    raise ConfigError(f"{file}:{line}: not YAML: {' '.join(problem.split())}")
