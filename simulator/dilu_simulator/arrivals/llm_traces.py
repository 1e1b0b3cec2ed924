"""Requests of language models from a CSV file: when each came, and how many tokens it had.

The file has a header; its columns are a time (see `dilu.load.traces`), the prompt's tokens and the output's. Requests
that generate nothing are not requests for tokens: they count as one token.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from dilu.errors import ConfigError
from dilu.load.arrivals import RecordedArrivals
from dilu.load.traces import TIME_COLUMNS, check_scale, read_lines, recorded
from dilu.spec.fields import shown
from dilu_simulator.arrivals.tokens import MAX_TOKENS, RecordedTokens, Tokens

_PROMPT: Final = ("contexttokens", "prompt_tokens", "prompt", "input_length")
_OUTPUT: Final = ("generatedtokens", "output_tokens", "output", "output_length")


def read_llm_trace(path: str | Path, *, scale: float = 1.0) -> tuple[RecordedArrivals, RecordedTokens]:
    """Read times at `scale` times their rate, and token counts; errors name the file, the line and the rule."""
    check_scale(scale)
    path = Path(path)
    rows = _rows(path)
    header = [cell.strip().lower() for cell in next(rows, (1, []))[1]]
    places = [_place(header, names, f"{path}:1") for names in (TIME_COLUMNS, _PROMPT, _OUTPUT)]
    times: list[tuple[int, object]] = []
    counts: list[Tokens] = []
    for line, row in rows:
        where = f"{path}:{line}"
        if not row:
            raise ConfigError(f"{where}: an empty line between requests; remove it")
        if len(row) <= max(places):
            raise ConfigError(f"{where}: {len(row)} columns, must be {len(header)} as in the header")
        at, prompt, output = (row[place] for place in places)
        times.append((line, at))
        counts.append(Tokens(_tokens(prompt, where), _tokens(output, where)))
    return recorded(times, str(path), scale=scale), RecordedTokens(counts=tuple(counts))


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(read_lines(path))
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise ConfigError(f"{path}:{reader.line_num}: {error}") from None


def _place(header: Sequence[str], names: Sequence[str], where: str) -> int:
    for name in names:
        if name in header:
            return header.index(name)
    raise ConfigError(f"{where}: columns {', '.join(header) or '(none)'}; one must be named {' or '.join(names)}")


def _tokens(text: str, where: str) -> int:
    digits = text.strip().lstrip("0") or text.strip()[-1:]
    if not digits.isdecimal() or len(digits) > len(str(MAX_TOKENS)) or int(digits) > MAX_TOKENS:
        raise ConfigError(f"{where}: {shown(text)} tokens, must be a whole number from 0 to {MAX_TOKENS}")
    return max(1, int(digits))
