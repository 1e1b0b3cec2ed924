"""A horizontal policy by name, or a researcher's own from a file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from dilu.errors import ConfigError, LoadError
from dilu_autoscaler.policy import POLICIES, AnyPolicy, Policy, policy_named


def policy_for(text: str) -> AnyPolicy:
    """The policy that is named, or the one in `FILE.py:ATTRIBUTE`.

    The attribute is a `Policy`, or a function `decide(function, seen, state, now_s) -> (decision, state)`: `function`
    is the function's spec, and `state` is None at the first call, then what the last call returned.
    """
    path, colon, attribute = text.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(Path(path), attribute, text)
    if text.endswith(".py"):
        raise ConfigError(f"policy = {text!r}, must name what to take from that file: {text}:decide")
    if text not in POLICIES:
        raise ConfigError(
            f"policy = {text!r}, must be one of: {', '.join(sorted(POLICIES))}; or FILE.py:FUNCTION for one's own"
        )
    return policy_named(text)


def _from_file(path: Path, attribute: str, text: str) -> AnyPolicy:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ConfigError(f"policy = {text!r}: {path} is no file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise LoadError(f"policy = {text!r}: {path} raised {type(error).__name__}: {error}") from error
    own: Any = getattr(module, attribute, None)
    if isinstance(own, Policy):
        return own
    if not callable(own):
        raise ConfigError(f"policy = {text!r}: {path} has no function {attribute!r}")
    return Policy(
        name=text, settings_for=lambda function: function, initial_state=lambda spec, seen, now_s: None, decide=own
    )
