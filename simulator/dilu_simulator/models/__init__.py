"""What is known of each model: how long a batch takes at which share, memory, quotas. Data and formulas only."""

from dilu_simulator.models.curves import CO_RUNNING, PrefillCurve, SoloCurve, co_running, training_curve
from dilu_simulator.models.known_models import MODELS, model_named
from dilu_simulator.models.models import LlmTimes, Model, TrainingProfile

__all__ = [
    "CO_RUNNING",
    "MODELS",
    "LlmTimes",
    "Model",
    "PrefillCurve",
    "SoloCurve",
    "TrainingProfile",
    "co_running",
    "model_named",
    "training_curve",
]
