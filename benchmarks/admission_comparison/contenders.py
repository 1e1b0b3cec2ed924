"""The servers under overload, and the settings of the peers that are searched."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from harness.peers import BENCHMARKS_PATH, LITSERVE_API_SERVERS, litserve_environment
from harness.search import Setting, Value

OURS: Final = "dilu"
APPS: Final = "benchmarks/apps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One server with one setting."""

    name: str
    system: str
    command: tuple[str, ...]
    ready: str
    path: str = "/"
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The settings of a peer that are searched, and the contender that runs with one."""

    make: Callable[[Setting], Contender]
    first: Setting
    options: Mapping[str, tuple[Value, ...]]  # in the order in which they are searched


def _ours() -> Contender:
    return Contender(
        name=OURS,
        system=OURS,
        command=(sys.executable, "-m", "dilu", "serve", f"{APPS}/linear_dilu.py"),
        ready="/readyz",
        env={"DILU_STATS_PORT": "0"},
    )


def _mosec(setting: Setting, name: str | None = None) -> Contender:
    command = (sys.executable, f"{APPS}/linear_mosec.py", "--address", "127.0.0.1", "--port", "{port}")
    limits = ("--capacity", str(setting["capacity"]), "--timeout", str(setting["timeout_ms"]))
    return Contender(
        name=name or _name("mosec", setting),
        system="mosec",
        command=(*command, *limits, "--log-level", "error"),
        ready="/",
        path="/inference",
        env={"MAX_WAIT_MS": str(setting["wait_ms"]), "CODEC": str(setting["codec"])},
    )


def _litserve(setting: Setting, name: str | None = None) -> Contender:
    limits = {"BATCH_TIMEOUT_S": str(setting["wait_s"]), "TIMEOUT_S": str(setting["timeout_s"])}
    return Contender(
        name=name or _name("LitServe", setting),
        system="LitServe",
        command=(sys.executable, f"{APPS}/linear_litserve.py"),
        ready="/health",
        path="/predict",
        env=litserve_environment(int(setting["api_servers"]), **limits),
    )


def _name(system: str, setting: Setting) -> str:
    return ", ".join([system, *(f"{option} {value}" for option, value in setting.items())])


# Its defaults are a capacity of 1,024, a timeout of 3 s, and JSON by the standard library.
_MOSEC_DEFAULTS: Final[Setting] = {"capacity": 1024, "wait_ms": 10, "timeout_ms": 3000, "codec": "json"}
_LITSERVE_DEFAULTS: Final[Setting] = {"timeout_s": 30.0, "wait_s": 0.0, "api_servers": 1}
AS_THEY_COME: Final = (
    _ours(),
    _mosec(_MOSEC_DEFAULTS, "mosec as it comes"),
    _litserve(_LITSERVE_DEFAULTS, "LitServe as it comes"),
)
# LitServe has no limit on its queue: a request that waited for longer than `timeout_s` is refused when its turn comes.
CHOICES: Final[Mapping[str, Choices]] = {
    "mosec": Choices(
        make=_mosec,
        first={"capacity": 32, "wait_ms": 5, "timeout_ms": 60, "codec": "msgspec"},
        options={
            "capacity": (8, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64),
            "wait_ms": (1, 2, 5, 10),
            "timeout_ms": (60, 3000),
            "codec": ("msgspec", "json"),
        },
    ),
    "LitServe": Choices(
        make=_litserve,
        first={"timeout_s": 0.047, "wait_s": 0.005, "api_servers": 2},
        options={
            "timeout_s": (0.02, 0.03, 0.04, 0.047, 0.06, 0.1, 0.3),
            "wait_s": (0.0, 0.002, 0.005, 0.01),
            "api_servers": LITSERVE_API_SERVERS,
        },
    ),
}
QUICK_CHOICES: Final[Mapping[str, Choices]] = {
    "mosec": Choices(make=_mosec, first=CHOICES["mosec"].first, options={"capacity": (24, 32)}),
    "LitServe": Choices(make=_litserve, first=CHOICES["LitServe"].first, options={}),
}


def environment(contender: Contender) -> dict[str, str]:
    """Return the environment in which a contender runs."""
    return {**BENCHMARKS_PATH, **contender.env}
