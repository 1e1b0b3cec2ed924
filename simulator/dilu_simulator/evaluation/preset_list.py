"""The presets by name. One more preset is one more line here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dilu.errors import ConfigError
from dilu_simulator.evaluation import ablation, collocation, gamma, table3, vertical
from dilu_simulator.evaluation.reports import Preset

PRESETS: Final[dict[str, Preset]] = {
    module.PRESET.name: module.PRESET for module in (table3, collocation, gamma, vertical, ablation)
}


def presets_named(names: Sequence[str]) -> list[Preset]:
    """Those of these names, each once; raises `ConfigError` with the names there are."""
    for name in names:
        if name not in PRESETS:
            raise ConfigError(f"preset = {name!r}, must be one of: {', '.join(PRESETS)}")
    return [PRESETS[name] for name in dict.fromkeys(names)]
