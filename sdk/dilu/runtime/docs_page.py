"""The documentation page of a replica: one HTML file that needs nothing from elsewhere."""

from __future__ import annotations

import html
from pathlib import Path

_TEMPLATE = Path(__file__).with_name("docs_page.html")
_TITLE = "{{title}}"


def docs_page(title: str) -> bytes:
    """The page as bytes. It reads `./openapi.json` beside it and can send requests to the routes in it."""
    return _TEMPLATE.read_text(encoding="utf-8").replace(_TITLE, html.escape(title)).encode("utf-8", "replace")
