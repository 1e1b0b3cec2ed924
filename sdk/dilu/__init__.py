"""Deep-learning functions that share GPUs well: the SDK that function authors import.

import dilu

@dilu.function(slo_ms=60, batch=16)
class Embed:
    def load(self) -> None: ...
    def predict(self, texts: list[str]) -> list[list[float]]: ...
"""

from dilu.context import Context
from dilu.errors import ConfigError, DiluError, ItemError, LoadError, RequestError
from dilu.handlers import FunctionDefinition, RuntimeOptions, function
from dilu.spec import FunctionSpec, Kind, Slo
from dilu.training_handlers import TrainingDefinition, training

__all__ = [
    "ConfigError",
    "Context",
    "DiluError",
    "FunctionDefinition",
    "FunctionSpec",
    "ItemError",
    "Kind",
    "LoadError",
    "RequestError",
    "RuntimeOptions",
    "Slo",
    "TrainingDefinition",
    "function",
    "training",
]
