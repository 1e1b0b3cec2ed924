"""The loads that a scenario can name, and the tokens of their requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dilu.errors import ConfigError
from dilu.load.arrivals import Arrivals, RateArrivals, bursty, gamma, periodic
from dilu.load.rates import parse_steps
from dilu.spec.fields import FieldError, number_from_zero, positive_number
from dilu.spec.yaml_sections import Section
from dilu_simulator.arrivals import (
    FixedTokens,
    LognormalTokens,
    RecordedTokens,
    SporadicArrivals,
    TokenSource,
    read_llm_trace,
)
from dilu_simulator.workloads import read_workload

_TOKEN_KEYS: Final = ("prompt", "output", "prompt_cv", "output_cv")


@dataclass(frozen=True, slots=True, kw_only=True)
class _LoadRequest:
    """The keys of one load."""

    section: Section
    folder: Path
    duration_s: float

    def number(self, key: str, default: float | None = None) -> float:
        value = self.section.value(key)
        if value is None and default is not None:
            return default
        if value is None:
            raise FieldError(key, "is required")
        return number_from_zero(key, value)

    def cv(self) -> float:
        return self.number("cv", 1.0)

    def text(self, key: str) -> str:
        text = self.section.text(key)
        if text is None:
            raise FieldError(key, "is required")
        return text


_Loaded = tuple[Arrivals, RecordedTokens | None]


def _even(asked: _LoadRequest) -> _Loaded:
    return gamma(asked.number("rps"), asked.duration_s, cv=0.0), None


def _poisson(asked: _LoadRequest) -> _Loaded:
    return gamma(asked.number("rps"), asked.duration_s, cv=1.0), None


def _gamma(asked: _LoadRequest) -> _Loaded:
    if asked.section.value("cv") is None:
        raise FieldError("cv", "is required")
    return gamma(asked.number("rps"), asked.duration_s, cv=asked.cv()), None


def _periodic(asked: _LoadRequest) -> _Loaded:
    low, high, period = asked.number("low_rps"), asked.number("high_rps"), asked.number("period")
    return periodic(low, high, period, asked.duration_s, cv=asked.cv()), None


def _bursty(asked: _LoadRequest) -> _Loaded:
    return bursty(parse_steps(asked.text("phases")), asked.duration_s, cv=asked.cv()), None


def _steps(asked: _LoadRequest) -> _Loaded:
    return RateArrivals(segments=parse_steps(asked.text("phases")), cv=asked.cv()), None


def _sporadic(asked: _LoadRequest) -> _Loaded:
    return SporadicArrivals(
        burst_rps=asked.number("burst_rps"),
        burst_s=asked.number("burst"),
        pause_s=asked.number("pause"),
        duration_s=asked.duration_s,
        cv=asked.cv(),
    ), None


def _trace(asked: _LoadRequest) -> _Loaded:
    spacing = asked.section.text("spacing") or "even"
    if spacing not in ("even", "poisson"):
        raise FieldError("spacing", "must be one of even, poisson", spacing)
    path = asked.folder / asked.text("file")
    workload_format = "times" if path.suffix in (".csv", ".jsonl") else "rps"
    return read_workload(path, workload_format=workload_format, scale=_scale(asked), spacing=spacing), None


def _llm_trace(asked: _LoadRequest) -> _Loaded:
    return read_llm_trace(asked.folder / asked.text("file"), scale=_scale(asked))


def _scale(asked: _LoadRequest) -> float:
    return positive_number("scale", asked.number("scale", 1.0))


_KINDS: Final[dict[str, tuple[Callable[[_LoadRequest], _Loaded], tuple[str, ...]]]] = {
    "even": (_even, ("rps",)),
    "poisson": (_poisson, ("rps",)),
    "gamma": (_gamma, ("rps", "cv")),
    "periodic": (_periodic, ("low_rps", "high_rps", "period", "cv")),
    "bursty": (_bursty, ("phases", "cv")),
    "steps": (_steps, ("phases", "cv")),
    "sporadic": (_sporadic, ("burst_rps", "burst", "pause", "cv")),
    "trace": (_trace, ("file", "scale", "spacing")),
    "llm-trace": (_llm_trace, ("file", "scale")),
}


def read_load(section: Section, folder: Path, duration_s: float) -> _Loaded:
    """Return the load of one function, and its trace's tokens."""
    free = section.section("load", None)
    assert free is not None, "the reader has required it"
    kind = free.text("kind")
    if kind not in _KINDS:
        raise free.position.locate(FieldError("load.kind", f"must be one of {', '.join(_KINDS)}", kind))
    make, keys = _KINDS[kind]
    load = section.section("load", ("kind", *keys))
    assert load is not None, "it was there a moment ago"
    try:
        with load.locating():
            return make(_LoadRequest(section=load, folder=folder, duration_s=duration_s))
    except FieldError:
        raise
    except ConfigError as error:
        raise _at(load, error) from None


def read_tokens(section: Section) -> TokenSource | None:
    """Return the tokens of a function's requests; None if not stated."""
    tokens = section.section("tokens", _TOKEN_KEYS)
    if tokens is None:
        return None
    tokens.require("prompt", "output")
    with tokens.locating():
        prompt, output = tokens.value("prompt"), tokens.value("output")
        if "prompt_cv" not in tokens and "output_cv" not in tokens:
            return FixedTokens(prompt=prompt, output=output)  # type: ignore[arg-type]  # it checks its own values
        cvs = {key: 0.0 if tokens.value(key) is None else tokens.value(key) for key in ("prompt_cv", "output_cv")}
        return LognormalTokens(prompt=prompt, output=output, **cvs)  # type: ignore[arg-type]  # as above


def _at(section: Section, error: ConfigError) -> ConfigError:
    """Return the error with the place of its load, unless it names a file of its own."""
    text, position = str(error), section.position
    if text.startswith(f"{position.file}:") or ":" in text.split(" ", 1)[0]:
        return error
    return ConfigError(f"{position.file}:{position.line}: load: {text}")
