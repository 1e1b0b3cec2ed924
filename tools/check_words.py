"""Check code, documents and messages for words that the project does not use: `python tools/check_words.py [PATH ...]`.

The words, and what to write instead, are in check_words.toml beside this file. Without a path, the folders named there
as not yet clean are skipped; with a path, everything below it is checked.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_suffix(".toml")
# A phrase may be wrapped in a comment, and words of an identifier are joined by "_".
_BETWEEN_WORDS = r"(?:[ _-]|\s*\n[ \t#>*/-]*)"


@dataclass(frozen=True, slots=True)
class Rule:
    """A forbidden word, phrase or pattern."""

    name: str
    pattern: re.Pattern[str]
    instead: str


@dataclass(frozen=True, slots=True)
class AllowedText:
    """A text in which a rule's word is right, with the reason."""

    text: str
    paths: str
    reason: str


@dataclass(frozen=True, slots=True)
class WordList:
    """What check_words.toml says."""

    rules: tuple[Rule, ...]
    exceptions: tuple[AllowedText, ...]
    not_yet_clean: dict[str, list[str]]
    unchecked: tuple[str, ...]
    suffixes: tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A forbidden word in a file."""

    path: str
    line: int
    found: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.found!r}; write: {self.instead}"


def read_list(text: str) -> WordList:
    """Read a word list; a rule or an exception without its other half raises KeyError."""
    data = tomllib.loads(text)
    return WordList(
        rules=tuple(_rule(entry) for entry in data["rule"]),
        exceptions=tuple(
            AllowedText(entry["text"], entry.get("paths", ""), entry["reason"]) for entry in data.get("exception", [])
        ),
        not_yet_clean=data.get("not_yet_clean", {}),
        unchecked=tuple(data["files"]["unchecked"]),
        suffixes=tuple(data["files"]["suffixes"]),
    )


def _rule(entry: dict[str, Any]) -> Rule:
    if "pattern" in entry:
        return Rule(entry["name"], re.compile(entry["pattern"]), entry["instead"])
    phrase: str = entry["phrase"]
    words = _BETWEEN_WORDS.join(re.escape(word) for word in phrase.split())
    return Rule(phrase, re.compile(rf"(?<![A-Za-z]){words}(?![A-Za-z])", re.IGNORECASE), entry["instead"])


def findings_in(path: str, text: str, words: WordList) -> list[Finding]:
    """Return the forbidden words in a text, in the order of its lines."""
    allowed = [
        match.span()
        for exception in words.exceptions
        if path.startswith(exception.paths)
        for match in re.finditer(re.escape(exception.text), text)
    ]
    skipped = [name for folder, names in words.not_yet_clean.items() if _is_below(path, folder) for name in names]
    found: list[Finding] = []
    for rule in words.rules:
        if rule.name in skipped or "all" in skipped:
            continue
        for match in rule.pattern.finditer(text):
            if not any(start <= match.start() and match.end() <= end for start, end in allowed):
                line = text.count("\n", 0, match.start()) + 1
                found.append(Finding(path, line, " ".join(match[0].split()), rule.instead))
    return sorted(found)


def unused_exceptions(texts: dict[str, str], words: WordList) -> list[str]:
    """Return the exceptions whose text no longer occurs where they allow it."""
    return [
        exception.text
        for exception in words.exceptions
        if not any(exception.text in text for path, text in texts.items() if path.startswith(exception.paths))
    ]


def checked_files(words: WordList) -> dict[str, str]:
    """Return the texts of the files that the list covers, by path: tracked ones and new ones."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {
        name: (ROOT / name).read_text(encoding="utf-8")
        for name in sorted(set(names))
        if name.endswith(words.suffixes)
        and not any(_is_below(name, unchecked) for unchecked in words.unchecked)
        and (ROOT / name).is_file()
    }


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def main(arguments: list[str]) -> int:
    """Print the findings and return the exit status."""
    words = read_list(LIST.read_text(encoding="utf-8"))
    texts = checked_files(words)
    lines = [f"{LIST.name}: the exception {text!r} is not needed any more" for text in unused_exceptions(texts, words)]
    if arguments:
        wanted = [str(Path(argument).resolve().relative_to(ROOT)) for argument in arguments]
        words.not_yet_clean.clear()
        texts = {path: text for path, text in texts.items() if any(w == "." or _is_below(path, w) for w in wanted)}
        lines = []
    for path, text in texts.items():
        lines += [str(finding) for finding in findings_in(path, text, words)]
    print("\n".join([*lines, f"{len(lines)} findings in {len(texts)} files"]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
