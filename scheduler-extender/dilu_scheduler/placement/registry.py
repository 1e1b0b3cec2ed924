"""The placement rules by name."""

from __future__ import annotations

from typing import Final

from dilu.errors import ConfigError
from dilu_scheduler.placement.books import Placement
from dilu_scheduler.placement.first_fit import Exclusive, FirstFit, FirstFitByLimit

PLACEMENTS: Final[dict[str, Placement]] = {
    "exclusive": Exclusive(),
    "first-fit": FirstFit(),
    "first-fit-by-limit": FirstFitByLimit(),
}


def placement_named(name: str) -> Placement:
    """Return the placement of that name; raises `ConfigError` with the known names."""
    try:
        return PLACEMENTS[name]
    except KeyError:
        raise ConfigError(f"placement = {name!r}, must be one of: {', '.join(sorted(PLACEMENTS))}") from None
