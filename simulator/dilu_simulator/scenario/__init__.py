"""What is simulated, as values: a cluster, functions with their loads, training jobs; and how a file says it."""

from dilu_simulator.scenario.reading import preset_names, read_preset, read_scenario
from dilu_simulator.scenario.scenarios import (
    InferenceFunction,
    Scenario,
    TrainingJob,
    default_placement,
)
from dilu_simulator.scenario.sizes import GIB_MIB, ClusterSize, ColdStartDelay

__all__ = [
    "GIB_MIB",
    "ClusterSize",
    "ColdStartDelay",
    "InferenceFunction",
    "Scenario",
    "TrainingJob",
    "default_placement",
    "preset_names",
    "read_preset",
    "read_scenario",
]
