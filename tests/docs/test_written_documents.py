"""The picture is what the script draws, and the glossary holds each term once."""

from __future__ import annotations

import re
from pathlib import Path

import draw_overview

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()


def test_the_picture_is_what_the_script_draws() -> None:
    assert draw_overview.OUTPUT.read_text() == draw_overview.picture(), "run: python tools/draw_overview.py"


def test_the_glossary_holds_each_term_once_in_order() -> None:
    terms = re.findall(r"^\| \*\*(.+?)\*\* \|", GLOSSARY, re.MULTILINE)
    assert terms == sorted(set(terms), key=lambda term: term.casefold().lstrip("`"))
