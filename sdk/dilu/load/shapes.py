"""The arrivals that the options of `dilu load` describe."""

from __future__ import annotations

from dataclasses import dataclass

from dilu.errors import ConfigError
from dilu.load.arrivals import Arrivals, RecordedArrivals, bursty, gamma, periodic, steps
from dilu.load.rates import parse_steps
from dilu.load.traces import read_trace

_DEFAULT_RPS = 10.0
_DEFAULT_DURATION_S = 10.0
_CVS = {"even": 0.0, "poisson": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeOptions:
    """The options as given; None if one was left out."""

    rps: float | None = None
    steps: str | None = None
    periodic: str | None = None
    bursty: str | None = None
    trace: str | None = None
    scale: float | None = None
    duration_s: float | None = None
    arrivals: str | None = None
    cv: float | None = None


def arrivals_of(options: ShapeOptions) -> Arrivals:
    """Return the arrivals that the options describe. Raise `ConfigError` if they contradict each other."""
    shapes = ("rps", "steps", "periodic", "bursty", "trace")
    given = [f"--{name}" for name in shapes if getattr(options, name) is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)}: only one of them can set the rate")
    if options.scale is not None and options.trace is None:
        raise ConfigError("--scale applies to --trace only")
    cv = _cv(options)
    duration_s = _DEFAULT_DURATION_S if options.duration_s is None else options.duration_s
    if options.periodic is not None:
        low_rps, high_rps, period_s = _three_numbers(options.periodic)
        return periodic(low_rps, high_rps, period_s, duration_s, cv)
    if options.bursty is not None:
        return bursty(parse_steps(options.bursty), duration_s, cv)
    if options.steps is None and options.trace is None:
        return gamma(_DEFAULT_RPS if options.rps is None else options.rps, duration_s, cv)
    whole = _trace(options.trace, options, cv) if options.trace is not None else steps(options.steps or "", cv)
    return whole if options.duration_s is None else whole.until(options.duration_s)


def _trace(path: str, options: ShapeOptions, cv: float) -> Arrivals:
    arrivals = read_trace(path, scale=1.0 if options.scale is None else options.scale, cv=cv)
    if isinstance(arrivals, RecordedArrivals) and (options.arrivals is not None or options.cv is not None):
        raise ConfigError(f"{path} holds the time of each request; --arrivals and --cv do not apply to it")
    return arrivals


def _cv(options: ShapeOptions) -> float:
    if options.arrivals in _CVS:
        if options.cv is not None:
            raise ConfigError(f"--cv {options.cv:g} applies to --arrivals gamma, not to {options.arrivals}")
        return _CVS[options.arrivals]
    if options.cv is not None:
        return options.cv
    if options.arrivals == "gamma":
        raise ConfigError("--arrivals gamma needs --cv, such as --cv 3")
    return _CVS["poisson"]


def _three_numbers(text: str) -> tuple[float, float, float]:
    try:
        low_rps, high_rps, period_s = (float(part) for part in text.split(":"))
    except ValueError:
        raise ConfigError(f"--periodic {text!r}, must be LOW_RPS:HIGH_RPS:PERIOD_SECONDS, as in 5:50:60") from None
    return low_rps, high_rps, period_s
