"""The documentation page: alone in one file, and what its script computes (run by node, where there is one)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from typing import Any

import pytest

from dilu.runtime.openapi.descriptions import docs_page

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")


class Page(HTMLParser):
    """What the page loads, and how its tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.title = ""
        self.language: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in ("src", "href") and value is not None]
        if tag == "html":
            self.language = dict(attrs)["lang"]
        if tag not in ("meta", "link", "br", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["title"]:
            self.title += data


def run_script(expression: str) -> Any:
    """The value of a JavaScript expression that may use the page's own functions."""
    assert NODE is not None
    script = re.search(r"<script>(.*)</script>", docs_page("shop").decode(), re.DOTALL)
    assert script is not None
    code = f"{script[1]}\nprocess.stdout.write(JSON.stringify({expression}));"
    done = subprocess.run([NODE, "-"], input=code, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_page_loads_nothing_but_the_document_beside_it() -> None:
    text = docs_page("shop").decode()
    page = Page(text)
    assert page.open == []
    assert set(page.links) == {"data:,", "./openapi.json"}
    assert "@import" not in text
    assert not re.search(r"[ :]url\(", text)
    assert page.language == "en"


def test_the_title_is_shown_and_cannot_become_markup() -> None:
    text = docs_page("<b>shop & co</b>").decode()
    assert Page(text).title == "<b>shop & co</b>"
    assert "<b>shop" not in text


def test_a_title_that_utf8_cannot_hold_is_no_error() -> None:
    assert b"shop ?" in docs_page("shop \udcff")


def test_texts_of_the_document_are_never_read_as_markup() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", docs_page("shop").decode())


EXAMPLES: list[tuple[dict[str, Any], Any]] = [
    ({"type": "string"}, "text"),
    ({"type": "string", "maxLength": 2}, "te"),
    ({"type": "string", "minLength": 6}, "textxx"),
    ({"type": "string", "format": "date"}, "2026-01-31"),
    ({"type": "integer", "minimum": 3}, 3),
    ({"type": "number", "exclusiveMinimum": 0}, 0.5),
    ({"type": "integer", "exclusiveMaximum": 0}, -1),
    ({"type": "boolean"}, True),
    ({"type": "null"}, None),
    ({}, "text"),
    ({"enum": ["low", "high"]}, "low"),
    ({"const": 7}, 7),
    ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
    ({"type": ["null", "integer"]}, 1),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
    ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}, [1, "text"]),
    ({"$ref": "#/components/schemas/Point"}, {"x": 0.5}),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, {}),
    ({"examples": ["shown"]}, "shown"),
]
POINT = {"Point": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}}


@needs_node
def test_examples_fit_their_schemas() -> None:
    schemas, wanted = zip(*EXAMPLES, strict=True)
    document = {"components": {"schemas": POINT}}
    found = run_script(f"{json.dumps(schemas)}.map((one) => exampleOf(one, {json.dumps(document)}))")
    assert found == list(wanted)


@needs_node
def test_an_example_of_a_type_that_contains_itself_ends() -> None:
    tree = {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Tree"}}, "required": ["child"]}
    document = {"components": {"schemas": {"Tree": tree, "Loop": {"$ref": "#/components/schemas/Loop"}}}}
    for name in document["components"]["schemas"]:
        run_script(f'exampleOf({{"$ref": "#/components/schemas/{name}"}}, {json.dumps(document)})')


@needs_node
def test_types_are_told_in_few_words() -> None:
    nullable = {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}
    schemas = [{}, {"$ref": "#/components/schemas/Point"}, nullable, {"type": "integer", "minimum": 1, "maximum": 5}]
    assert run_script(f"{json.dumps(schemas)}.map((one) => typeText(one))") == [
        "any",
        "Point",
        "array of (integer or null)",
        "integer ≥ 1, ≤ 5",
    ]


@needs_node
def test_the_curl_line_is_safe_in_a_shell() -> None:
    body = json.dumps({"text": 'it\'s $HOME `date` \\ "end"'})
    line = run_script(f'curlLine("post", "http://host/embed", {{"Priority": "u=1"}}, {json.dumps(body)}, false)')
    assert line.startswith("curl -s 'http://host/embed' -H 'Priority: u=1' --data-raw ")
    shown = subprocess.run(
        ["sh", "-c", f'curl() {{ for one; do last=$one; done; printf %s "$last"; }}\n{line}'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == body


@needs_node
@pytest.mark.parametrize(
    ("page", "path", "address"),
    [
        ("http://host/docs", "/", "http://host/"),
        ("http://host/docs", "/embed", "http://host/embed"),
        ("http://host/shop/docs", "/embed", "http://host/shop/embed"),
    ],
)
def test_routes_are_called_beside_the_page_so_that_a_gateways_prefix_stays(page: str, path: str, address: str) -> None:
    assert run_script(f"addressOf({json.dumps(path)}, {json.dumps(page)})") == address
