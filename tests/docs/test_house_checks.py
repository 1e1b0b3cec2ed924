"""The checks of words and class names find what they are for, and nothing else."""

from __future__ import annotations

import pytest

import check_class_names
import check_words

WORDS = check_words.read_list("""
not_yet_clean = {"old" = ["all"], "half" = ["nobody"]}
[files]
suffixes = [".py"]
unchecked = []
[[rule]]
phrase = "nobody"
instead = "no client"
[[rule]]
phrase = "so many"
instead = "N"
[[rule]]
name = "most_"
pattern = '(?i)(?<![A-Za-z0-9_])_*most_[a-z_]+'
instead = "max_"
[[exception]]
text = "most_common"
paths = "new/"
reason = "collections.Counter's name"
""")


def found(text: str, path: str = "new/module.py") -> list[tuple[int, str]]:
    return [(finding.line, finding.found) for finding in check_words.findings_in(path, text, WORDS)]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("x\nNobody waits", [(2, "Nobody")], id="any case"),
        pytest.param("nobodys", [], id="another word"),
        pytest.param("if nobody_waits:", [(1, "nobody")], id="part of an identifier"),
        pytest.param("# takes so\n    # many", [(1, "so # many")], id="wrapped in a comment"),
        pytest.param("so_many = 1", [(1, "so_many")], id="joined in an identifier"),
        pytest.param("also many", [], id="the end of another word"),
        pytest.param("_MOST_BYTES = most_items", [(1, "_MOST_BYTES"), (1, "most_items")], id="pattern"),
        pytest.param("counter.most_common(1)", [], id="exception"),
    ],
)
def test_words_are_found(text: str, want: list[tuple[int, str]]) -> None:
    assert found(text) == want


def test_an_exception_holds_where_it_is_allowed_only() -> None:
    assert found("most_common", "other/module.py") == [(1, "most_common")]


@pytest.mark.parametrize(
    ("path", "want"),
    [("old/module.py", 0), ("half/module.py", 1), ("older/module.py", 2), ("half.py", 2)],
)
def test_what_is_not_yet_clean_is_skipped(path: str, want: int) -> None:
    assert len(found("nobody, so many", path)) == want


def test_an_exception_that_nothing_needs_is_reported() -> None:
    assert check_words.unused_exceptions({"new/a.py": "most_common"}, WORDS) == []
    assert check_words.unused_exceptions({"other/a.py": "most_common"}, WORDS) == ["most_common"]


def test_each_rule_of_the_list_matches_something_and_has_a_replacement() -> None:
    words = check_words.read_list(check_words.LIST.read_text())
    assert [rule.name for rule in words.rules if not rule.instead or rule.pattern.search("")] == []
    assert all(exception.reason for exception in words.exceptions)


MODULES = [("a.py", "class Answer: ...\nclass _Inner: ..."), ("b.py", "class _Answer:\n    class Inner: ...")]


def test_one_name_of_two_classes_is_found_below_underscores_and_nesting() -> None:
    assert check_class_names.shared_names(MODULES) == {"Answer": ["a.py", "b.py"], "Inner": ["a.py", "b.py"]}


def test_a_shared_name_needs_a_reason_and_a_reason_a_shared_name() -> None:
    shared = check_class_names.shared_names(MODULES)
    assert check_class_names.problems(shared, {"Answer": "a reason", "Inner": "another"}) == []
    unlisted, unneeded = check_class_names.problems(shared, {"Answer": "a reason", "Once": "a reason"})
    assert unlisted.startswith("class Inner is defined 2 times: a.py, b.py;")
    assert unneeded == "check_class_names.toml: Once is defined once only"
