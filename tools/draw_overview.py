"""Draw docs/overview.svg, the README's picture: `python tools/draw_overview.py`.

A test fails where the committed picture is not the one that this script draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

OUTPUT = Path(__file__).resolve().parents[1] / "docs" / "overview.svg"
WIDTH, HEIGHT = 960, 452
_STYLE = {
    "built": 'fill="#e8f1fb" stroke="#1f5fa8" stroke-width="1.6"',
    "simulated": 'fill="#fdf3e3" stroke="#b36b00" stroke-width="1.6" stroke-dasharray="7 4"',
    "missing": 'fill="#f4f4f4" stroke="#808080" stroke-width="1.6" stroke-dasharray="2 4"',
    "plain": 'fill="#ffffff" stroke="#404040" stroke-width="1.2"',
}
_SHARES = ("#1f5fa8", "#b36b00", "#4a8a3c")


@dataclass(frozen=True, slots=True)
class Box:
    """A titled box, drawn in the style of its state."""

    x: int
    y: int
    width: int
    height: int
    state: str
    title: str
    lines: tuple[str, ...] = ()

    def draw(self) -> Iterator[str]:
        """Yield its elements: the frame, the title, then one line of text each."""
        yield (
            f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="8" {_STYLE[self.state]}/>'
        )
        yield _text(self.x + 12, self.y + 24, self.title, size=15, weight="bold")
        for number, line in enumerate(self.lines):
            yield _text(self.x + 12, self.y + 46 + 18 * number, line)


BOXES = (
    Box(20, 96, 150, 70, "plain", "Clients", ("HTTP requests",)),
    Box(236, 96, 190, 70, "built", "Gateway", ("or Knative's activator",)),
    Box(
        20,
        290,
        282,
        116,
        "missing",
        "1  Multi-factor profiling",
        (
            "finds a function's batch size, SM request",
            "and limit, memory and throughput",
            "for its objective: not built",
        ),
    ),
    Box(
        339,
        290,
        282,
        116,
        "simulated",
        "2  Complementary scheduling",
        ("chooses the GPUs of each new replica,", "so that requests and limits fit:", "simulated; no extender yet"),
    ),
    Box(
        658,
        290,
        282,
        116,
        "built",
        "3  Two-dimensional co-scaling",
        ("replicas in seconds: built;", "GPU shares in milliseconds: simulated,", "no node agent yet"),
    ),
)
_ARROW_HEAD = (
    '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0 10 5 0 10z" fill="#404040"/></marker></defs>'
)
# From, to, label, and where the label stands.
ARROWS = (
    ((170, 131), (236, 131), "", (0, 0)),
    ((426, 131), (500, 131), "", (0, 0)),
    ((161, 290), (161, 230), "profile", (170, 262)),
    ((480, 290), (560, 232), "placement", (430, 262)),
    ((799, 290), (799, 232), "replicas and shares", (808, 262)),
    ((700, 232), (700, 290), "load, queue", (612, 262)),
)
LEGEND = (("built", "built"), ("simulated", "in the simulator only"), ("missing", "not built"))


def picture() -> str:
    """Return the SVG document."""
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="title">',
        '<title id="title">Dilu: requests reach replicas that share GPUs; three ideas decide how</title>',
        _ARROW_HEAD,
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *_node(500, 26),
        *_function(20, 186),
    ]
    for box in BOXES:
        body += box.draw()
    for start, end, label, place in ARROWS:
        body.append(
            f'<path d="M{start[0]} {start[1]} {end[0]} {end[1]}" stroke="#404040" stroke-width="1.6" fill="none" '
            'marker-end="url(#arrow)"/>'
        )
        if label:
            body.append(_text(*place, label))
    for number, (state, label) in enumerate(LEGEND):
        x = 20 + 190 * number
        body.append(f'<rect x="{x}" y="422" width="26" height="16" rx="4" {_STYLE[state]}/>')
        body.append(_text(x + 34, 435, label))
    return "\n".join([*body, "</svg>"]) + "\n"


def _node(x: int, y: int) -> Iterator[str]:
    """Yield a node with two GPUs, each divided among the replicas that share it."""
    yield from Box(x, y, 440, 206, "plain", "Node").draw()
    for number, shares in enumerate(((0.5, 0.3), (0.3, 0.3, 0.25))):
        top = y + 42 + 80 * number
        yield _text(x + 16, top + 36, f"GPU {number}", weight="bold")
        yield f'<rect x="{x + 76}" y="{top}" width="348" height="62" rx="5" {_STYLE["plain"]}/>'
        left = float(x + 76)
        for place, share in enumerate(shares):
            colour = _SHARES[(place + number) % len(_SHARES)]
            width = 348 * share
            yield (
                f'<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="62" rx="5" fill="{colour}" '
                'fill-opacity="0.2" stroke="#404040" stroke-width="0.8"/>'
            )
            yield _text(left + 10, top + 26, "replica")
            yield _text(left + 10, top + 46, f"{100 * share:.0f} %")
            left += width
        yield _text(left + 8, top + 36, "free")


def _function(x: int, y: int) -> Iterator[str]:
    """Yield the function that a user writes."""
    yield _text(x, y + 16, "@dilu.function(slo_ms=60, batch=16)", family="monospace")
    yield _text(x, y + 36, "class Embed: ...", family="monospace")


def _text(x: float, y: float, text: str, *, size: int = 13, weight: str = "normal", family: str = "sans-serif") -> str:
    attributes = f'x="{x:.0f}" y="{y:.0f}" font-size="{size}" font-weight="{weight}" font-family="{family}"'
    return f'<text {attributes} fill="#202020">{escape(text)}</text>'


if __name__ == "__main__":
    OUTPUT.write_text(picture(), encoding="utf-8")
