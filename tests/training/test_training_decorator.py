"""What `@dilu.training` accepts, keeps and refuses, and how `dilu run` finds it."""

from __future__ import annotations

import abc
import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dilu
from dilu.errors import ConfigError, LoadError
from dilu.handlers import definition_of
from dilu.loading import load_function, load_functions, load_training
from dilu.training_handlers import training_definition_of


class Whole:
    """All that is needed."""

    def steps(self) -> Iterator[dict[str, float]]:
        yield {}

    def checkpoint(self, path: Path) -> None: ...

    def resume(self, path: Path) -> None: ...


def test_a_class_stays_a_class_that_people_can_step() -> None:
    @dilu.training(sm_request=300, sm_limit=900, gpu_memory="4Gi", gpus=2, affinity_group="night")
    class FineTune(Whole):
        pass

    assert next(FineTune().steps()) == {}
    definition = training_definition_of(FineTune)
    assert definition is not None
    spec = definition.spec
    assert (spec.name, spec.kind) == ("fine-tune", dilu.Kind.TRAINING)
    assert (spec.sm_request, spec.sm_limit, spec.gpu_memory_mib, spec.gpus) == (300, 900, 4096, 2)
    assert spec.affinity_group == "night"


def test_it_needs_no_parentheses_and_its_name_can_be_given() -> None:
    @dilu.training
    class Plain(Whole):
        pass

    @dilu.training(name="other")
    class Named(Whole):
        pass

    assert [training_definition_of(one).spec.name for one in (Plain, Named)] == ["plain", "other"]  # type: ignore[union-attr]  # decorated above


def test_a_training_class_is_no_function_to_serve_and_a_subclass_is_not_decorated() -> None:
    @dilu.training
    class Base(Whole):
        pass

    class Derived(Base):
        pass

    assert definition_of(Base) is None
    assert training_definition_of(Derived) is None


class NoMethods:
    pass


class OnlyStep(Whole):
    steps = None  # type: ignore[assignment]  # as if it were not there

    def step(self) -> None: ...


class NoYield(Whole):
    def steps(self) -> Any:
        return [{}]


class AsyncSteps(Whole):
    async def steps(self) -> Any:
        yield {}


class LazyLoad(Whole):
    def load(self) -> Any:
        yield


class NoPath(Whole):
    def checkpoint(self) -> None: ...  # type: ignore[override]  # the mistake under test


class TwoArguments(Whole):
    def resume(self, path: Path, strict: bool) -> None: ...  # type: ignore[override]  # the mistake under test


class NeedsArguments(Whole):
    def __init__(self, rate: float) -> None: ...


class Abstract(Whole, abc.ABC):
    @abc.abstractmethod
    def loss(self) -> float: ...


@dilu.function
class Serves(Whole):
    def predict(self, item: Any) -> Any:
        return item


REFUSED = [
    (
        NoMethods,
        r"NoMethods lacks steps\(self\) that yields .*, checkpoint\(self, path\) .*, and resume\(self",
    ),
    (OnlyStep, r"lacks steps\(self\).*; it has step: write def steps\(self\) that yields"),
    (NoYield, "NoYield: steps has no yield"),
    (AsyncSteps, "steps is async"),
    (LazyLoad, "load is a generator, so its code would never run"),
    (NoPath, r"checkpoint is called with self and path; its signature is \(self\)"),
    (TwoArguments, "resume is called with self and path; its signature is .*: missing a required argument: 'strict'"),
    (NeedsArguments, "is created without arguments; add defaults"),
    (Abstract, "is abstract, it lacks loss"),
    (Serves, "is a @dilu.function already"),
    (lambda: None, "decorates a class with steps"),
    ("night", "the name is a keyword"),
]


@pytest.mark.parametrize(("target", "message"), REFUSED, ids=[message[:25] for _, message in REFUSED])
def test_what_cannot_be_trained_is_refused_in_one_line(target: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        dilu.training(target)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slo_ms": 60}, "slo_ms is for inference; the options of a training function are sm_request, sm_limit"),
        ({"batch": 4}, "batch is for inference"),
        ({"concurrency": 4}, "concurrency is for inference"),
        ({"kind": "inference"}, "kind is for inference"),
        ({"sm_requests": 4}, "training whole: sm_requests: unknown key; did you mean sm_request?"),
        ({"sm_request": 1001}, "sm_request = 1001"),
        ({"name": "A b"}, "name = 'A b'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dilu.training(**options)(type("Whole", (Whole,), {}))


def test_static_and_class_methods_will_do() -> None:
    class Static(Whole):
        @staticmethod
        def checkpoint(path: Path) -> None: ...

        @classmethod
        def resume(cls, path: Path) -> None: ...

    assert training_definition_of(dilu.training(Static)) is not None


BOTH = """
import dilu

@dilu.function
def double(x: int) -> int:
    return 2 * x

@dilu.training
class Train:
    def steps(self): yield
    def checkpoint(self, path): pass
    def resume(self, path): pass
"""


def test_a_module_may_serve_and_train(tmp_path: Path) -> None:
    (tmp_path / "serve_and_train.py").write_text(BOTH)
    target = f"{tmp_path}/serve_and_train.py"
    assert list(load_functions(target)) == ["double"]
    assert load_training(target).spec.name == load_training(f"{target}:Train").spec.name == "train"
    with pytest.raises(LoadError, match=r"Train is a training function; start it with dilu run .*:Train"):
        load_function(f"{target}:Train")
    with pytest.raises(LoadError, match=r"double is not decorated with @dilu\.training in .*; it has Train"):
        load_training(f"{target}:double")


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("", "", r"defines no training function; decorate a class with @dilu\.training"),
        (BOTH + BOTH.replace("Train", "Other"), "", "defines 2 training functions, name one: .*:Train, .*:Other"),
        (BOTH, ":Missing", "Missing does not exist in .*; it has Train"),
        (
            BOTH.replace("@dilu.training", "@dataclasses.dataclass(slots=True)\n@dilu.training").replace(
                "import dilu", "import dataclasses, dilu"
            ),
            ":Train",
            r"a decorator above @dilu\.training has replaced Train; put @dilu\.training on top",
        ),
        ("raise RuntimeError('boom')", "", r"train_broken\.py:1: RuntimeError: boom"),
    ],
)
def test_what_dilu_run_cannot_find_is_one_line(tmp_path: Path, source: str, target: str, message: str) -> None:
    sys.modules.pop("train_broken", None)
    (tmp_path / "train_broken.py").write_text(source)
    with pytest.raises(LoadError, match=message):
        load_training(f"{tmp_path}/train_broken.py{target}")


def test_a_module_that_only_trains_says_so_when_it_is_to_be_served(tmp_path: Path) -> None:
    (tmp_path / "only_train.py").write_text(BOTH.replace("@dilu.function", ""))
    with pytest.raises(LoadError, match=r"defines only training functions \(Train\), nothing to serve; start one with"):
        load_functions(f"{tmp_path}/only_train.py")


def test_a_dataclass_below_the_decorator_will_do() -> None:
    @dilu.training
    @dataclasses.dataclass(slots=True)
    class Config(Whole):
        rate: float = 0.1

    assert training_definition_of(Config) is not None


def test_importing_dilu_imports_nothing_of_a_run() -> None:
    code = "import dilu, sys; print([m for m in sys.modules if m.startswith(('dilu.trainer', 'dilu.runtime'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
