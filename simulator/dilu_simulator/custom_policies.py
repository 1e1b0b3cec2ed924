"""A horizontal policy by name, or one from a researcher's file."""

from __future__ import annotations

import importlib.util
import math
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

from dilu.errors import ConfigError, LoadError
from dilu_autoscaler.policy.horizontal import (
    POLICIES,
    AnyPolicy,
    Decision,
    Observation,
    Policy,
    policy_named,
)

MAX_REPLICAS: Final = 1_000_000
"""A policy that decides on more has a fault; the simulation would run out of memory."""
_Answer = TypeVar("_Answer")


class PolicyFailed(BaseException):
    """A policy from a file raised, or answered what is no decision; the simulation ends.

    It is no `Exception` because the loop holds the function on those and continues, as it must in production. The
    numbers of a simulation that continued would be those of another policy.
    """


def policy_for(text: str) -> AnyPolicy:
    """Return the policy of a name, or the one in `FILE.py:ATTRIBUTE`.

    The attribute is a `Policy`, or a function `decide(function, seen, state, now_s) -> (decision, state)`: `function`
    is the function's spec, and `state` is None at the first call, then what the last call returned. A simulation in
    which it fails ends with `PolicyFailed`.
    """
    path, colon, attribute = text.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(Path(path), attribute, text)
    if text.endswith(".py"):
        raise ConfigError(f"policy = {text!r}, must name what to take from that file: {text}:decide")
    if text not in POLICIES:
        raise ConfigError(
            f"policy = {text!r}, must be one of: {', '.join(sorted(POLICIES))}; or FILE.py:FUNCTION for your own"
        )
    return policy_named(text)


def _from_file(path: Path, attribute: str, text: str) -> AnyPolicy:
    own: Any = getattr(_module(path, text), attribute, None)
    if not isinstance(own, Policy) and not callable(own):
        raise ConfigError(f"policy = {text!r}: {path} has no function {attribute!r}")
    watched = _CheckedPolicy(text=text)
    if not isinstance(own, Policy):
        own = Policy(
            name=text, settings_for=lambda function: function, initial_state=lambda spec, seen, now_s: None, decide=own
        )
    return Policy(
        name=own.name,
        settings_for=lambda function: watched.called("settings_for", own.settings_for, function),
        initial_state=lambda spec, seen, now_s: watched.called(f"{now_s:g} s", own.initial_state, spec, seen, now_s),
        decide=lambda spec, seen, state, now_s: watched.decided(own, spec, seen, state, now_s),
    )


def _module(path: Path, text: str) -> ModuleType:
    name = f"dilu_own_policy_{path.stem}"  # no module of that name can be hidden by it
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ConfigError(f"policy = {text!r}: {path} is no file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise LoadError(f"policy = {text!r}: {path} raised {type(error).__name__}: {error}") from error
    return module


@dataclass(frozen=True, slots=True, kw_only=True)
class _CheckedPolicy:
    """A policy whose failures become `PolicyFailed`."""

    text: str

    def called(self, when: str, function: Callable[..., _Answer], *arguments: object) -> _Answer:
        try:
            return function(*arguments)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            raise PolicyFailed(
                f"policy = {self.text!r}, at {when}: raised {type(error).__name__}: {error} ({where})"
            ) from error

    def decided(
        self, policy: AnyPolicy, spec: object, seen: Observation, state: object, now_s: float
    ) -> tuple[Decision, Any]:
        answer: object = self.called(f"{now_s:g} s", policy.decide, spec, seen, state, now_s)
        rule = _broken_rule(answer)
        if rule is not None:
            raise PolicyFailed(f"policy = {self.text!r}, at {now_s:g} s: answered {answer!r}, {rule}")
        return answer  # type: ignore[return-value]  # the rules say that it is one


def _broken_rule(answer: object) -> str | None:
    """Return the rule for decisions that this one breaks; None if it keeps them all."""
    if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[0], Decision):
        return "must be (Decision, state)"
    replicas: object = answer[0].replicas
    if replicas is not None and not (type(replicas) is int and 0 <= replicas <= MAX_REPLICAS):
        return f"replicas must be a whole number from 0 to {MAX_REPLICAS}, or None to hold"
    change_s: object = answer[0].next_change_s
    if change_s is not None and not (isinstance(change_s, int | float) and math.isfinite(change_s)):
        return "next_change_s must be a time in seconds, or None for never"
    return None
