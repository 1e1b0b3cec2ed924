"""The SDK that function authors import: deep-learning functions that share GPUs.

import dilu

@dilu.function(slo_ms=60, batch=16)
class Embed:
    def load(self) -> None: ...
    def predict(self, texts: list[str]) -> list[list[float]]: ...
"""

from importlib import import_module
from types import ModuleType

from dilu.chat import ChatMessage, ChatRequest, ChatResult
from dilu.context import Context
from dilu.errors import ConfigError, DiluError, ItemError, LoadError, RequestError
from dilu.events import Event
from dilu.handlers import FunctionDefinition, RuntimeOptions, function
from dilu.spec import FunctionSpec, Kind, Slo
from dilu.training_handlers import TrainingDefinition, training

__all__ = [
    "ChatMessage",
    "ChatRequest",
    "ChatResult",
    "ConfigError",
    "Context",
    "DiluError",
    "Event",
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

_LAZY_MODULES = ("models", "testing")  # modules that few functions need, and that take time to import


def __getattr__(name: str) -> ModuleType:
    """Import `dilu.testing` and `dilu.models` when they are first used."""
    if name in _LAZY_MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
