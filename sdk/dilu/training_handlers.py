"""The decorator `@dilu.training`, and its checks of a training class."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypedDict, TypeVar, Unpack, overload

from dilu.errors import ConfigError
from dilu.handlers import default_name, definition_of, function
from dilu.spec import FunctionSpec, Kind, SpecOptions, from_mapping
from dilu.spec.fields import unknown_key

# Where the decorator leaves its definition on the class that it decorates.
DEFINITION_ATTRIBUTE: Final = "__dilu_training__"

# The required methods with their arguments beside self, and their purpose.
_REQUIRED: Final[dict[str, tuple[str, ...]]] = {"steps": (), "checkpoint": ("path",), "resume": ("path",)}
_PURPOSE: Final = {
    "steps": "yields once for each iteration",
    "checkpoint": "writes the state into the folder path",
    "resume": "reads the state from it",
}

_Target = TypeVar("_Target", bound=type)


class TrainingOptions(TypedDict, total=False):
    """The keywords of `@dilu.training` that describe the resources of the function; None means unset."""

    sm_request: int | None
    sm_limit: int | None
    gpu_memory: str | int | None
    gpus: int
    affinity_group: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingDefinition:
    """A decorated training class and its spec, whose kind is `training`."""

    spec: FunctionSpec
    target: Callable[[], Any]  # the class


@overload
def training(target: _Target, /) -> _Target: ...


@overload
def training(*, name: str | None = None, **options: Unpack[TrainingOptions]) -> Callable[[_Target], _Target]: ...


def training(target: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Make a class trainable by `dilu run`.

        @dilu.training(sm_request=300, sm_limit=900, gpu_memory="4Gi")
        class FineTune:
            def load(self) -> None: ...                      # once: model, optimizer, data
            def steps(self) -> Iterator[dict[str, float]]:   # each yield ends one iteration
                while self.done < 1000:
                    loss = ...
                    self.done += 1                           # before the yield: a checkpoint is taken at it
                    yield {"loss": loss}
            def checkpoint(self, path: Path) -> None: ...    # write the state into the folder `path`
            def resume(self, path: Path) -> None: ...        # read it: after load, before steps

    A yield passes a mapping of names to numbers, or nothing. `load` is optional. The state must be complete at every
    yield: checkpoints are taken there, and a stop takes effect there. `options` are `sm_request`, `sm_limit`
    (milli-GPU), `gpu_memory`, `gpus` and `affinity_group`.

    The class stays usable as before: it can be created and stepped by hand. Raise `ConfigError` for an invalid value
    or class.
    """

    def decorate(decorated: Any) -> Any:
        _check_target(decorated)
        full_name = name or default_name(decorated.__name__)
        _check_class(decorated, full_name)
        definition = TrainingDefinition(spec=_training_spec(full_name, options), target=decorated)
        setattr(decorated, DEFINITION_ATTRIBUTE, definition)
        return decorated

    return decorate if target is None else decorate(target)


def training_definition_of(target: object) -> TrainingDefinition | None:
    """Return the definition that the decorator left on `target`, or None if `target` itself was not decorated."""
    definition = _carried(target)
    return definition if definition is not None and definition.target is target else None


def is_replaced_training(target: object) -> bool:
    """Return whether a decorator above ours, such as dataclass(slots=True), has replaced the class by `target`."""
    definition = _carried(target)
    return definition is not None and definition.target is not target


def _carried(target: object) -> TrainingDefinition | None:
    if not issubclass(type(target), type):  # by its real type: proxies resolve their target in isinstance()
        return None
    definition = vars(target).get(DEFINITION_ATTRIBUTE)
    return definition if isinstance(definition, TrainingDefinition) else None


def _training_spec(name: str, options: dict[str, Any]) -> FunctionSpec:
    known = TrainingOptions.__annotations__
    for key in options.keys() - known.keys():
        if key in SpecOptions.__annotations__ or key in inspect.signature(function).parameters:
            raise ConfigError(
                f"training {name}: {key} is for inference; the options of a training function are {', '.join(known)}"
            )
        raise unknown_key(key, known).about(f"training {name}")
    return from_mapping({"name": name, **options, "kind": Kind.TRAINING})


def _check_target(target: Any) -> None:
    if isinstance(target, str):
        raise ConfigError(f"@dilu.training({target!r}): the name is a keyword, write @dilu.training(name={target!r})")
    if not issubclass(type(target), type):
        shown = getattr(target, "__name__", None) or reprlib.repr(target)
        raise ConfigError(
            f"@dilu.training decorates a class with {_methods(_REQUIRED)}, not {shown}: "
            f"a function could not be stopped and resumed"
        )
    if definition_of(target) is not None:
        raise ConfigError(
            f"class {target.__name__} is a @dilu.function already; write one class that serves and one that trains"
        )


def _check_class(target: Any, name: str) -> None:
    where = f"training {name}: class {target.__name__}"
    missing = [method for method in _REQUIRED if not callable(getattr(target, method, None))]
    if missing:
        raise ConfigError(f"{where} lacks {_methods(missing)}{_hint(target, missing)}")
    if inspect.isabstract(target):
        raise ConfigError(f"{where} is abstract, it lacks {', '.join(sorted(target.__abstractmethods__))}")
    _check_call(target, (), f"{where} is created without arguments; add defaults, or read settings in load")
    for method, arguments in {"load": (), **_REQUIRED}.items():
        call = getattr(target, method, None)
        if call is not None:
            is_static = isinstance(inspect.getattr_static(target, method), staticmethod)
            has_self = not is_static and not inspect.ismethod(call)  # a class method has its first argument already
            _check_method(call, ("self", *arguments) if has_self else arguments, f"{where}: {method}")
    if not inspect.isgeneratorfunction(target.steps):
        raise ConfigError(f"{where}: steps has no yield; end each iteration with one, such as yield {{'loss': loss}}")


def _check_method(call: Any, arguments: tuple[str, ...], where: str) -> None:
    if inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call):
        raise ConfigError(f"{where} is async; a training function runs in a thread of its own, write a plain def")
    if inspect.isgeneratorfunction(call) and not where.endswith(": steps"):
        raise ConfigError(f"{where} is a generator, so its code would never run; remove its yield")
    _check_call(call, arguments, f"{where} is called with {' and '.join(arguments) or 'no argument'}")


def _check_call(call: Any, arguments: tuple[str, ...], rule: str) -> None:
    try:
        signature = inspect.signature(call)
    except (ValueError, TypeError):
        return  # written in C: only the call can show
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise ConfigError(f"{rule}; its signature is {signature}: {error}") from None


def _methods(names: Any) -> str:
    described = [f"{name}({', '.join(('self', *_REQUIRED[name]))}) that {_PURPOSE[name]}" for name in names]
    return ", and ".join(part for part in (", ".join(described[:-1]), described[-1]) if part)


def _hint(target: Any, missing: list[str]) -> str:
    if "steps" in missing and callable(getattr(target, "step", None)):
        return "; it has step: write def steps(self) that yields after each"
    return ""
