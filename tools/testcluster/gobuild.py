"""Go programs from the modules in `go/`: each has its go.mod and go.sum, so that a build is the same everywhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .errors import ClusterError
from .places import GO_MODULES

_LINES_SHOWN: Final = 15
_CAUSES: Final = (
    (r"no space left on device", "The disk is full: GOCACHE, GOMODCACHE and the cache need about 10 GB together."),
    (
        r"dial tcp|no such host|i/o timeout|connection refused|TLS handshake|proxyconnect",
        "The Go module proxy was not reached: check the network and `go env GOPROXY`.",
    ),
    (r"toolchain not available|requires go >= ", "Install the Go version that it names, or unset GOTOOLCHAIN."),
    (r"signal: killed", "The compiler was killed, most likely for want of memory: 6 GB are enough."),
    (
        r"updates to go\.mod needed|missing go\.sum entry",
        "Run `go mod tidy` in that directory and keep what it writes.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoModule:
    """One folder of `go/`, and how its packages become programs."""

    folder: str
    packages: tuple[str, ...]
    ldflags: str = ""
    test_package: str | None = None  # built to the program NAME.test, with the tag e2e

    @property
    def directory(self) -> Path:
        """Where its go.mod is."""
        return GO_MODULES / self.folder

    def inputs(self) -> list[bytes]:
        """Return what decides the result, for the cache's key."""
        files = sorted(path for path in self.directory.iterdir() if path.suffix in (".mod", ".sum", ".go"))
        recipe = (self.folder, *self.packages, self.ldflags, self.test_package or "")
        return [json.dumps(recipe).encode(), *(path.read_bytes() for path in files)]


def build_programs(module: GoModule, into: Path) -> None:
    """Build the module's programs into the directory: static, stripped, without paths of this machine."""
    flags = ["-trimpath", "-ldflags", f"-s -w {module.ldflags}".strip()]
    if module.packages:
        _go(module.directory, ["build", *flags, "-o", f"{into}/", *module.packages])
    if module.test_package:
        name = module.test_package.rpartition("/")[2] + ".test"
        _go(module.directory, ["test", "-c", "-tags=e2e", *flags, "-o", str(into / name), module.test_package])


def module_directory(module: GoModule, path: str) -> Path:
    """Where the source of a required module lies, fetched when it is not there yet."""
    found: dict[str, Any] = json.loads(_go(module.directory, ["mod", "download", "-json", path]))
    if "Dir" not in found:
        raise ClusterError(
            f"module {path} of {module.folder}: {found.get('Error', 'go mod download names no directory')}"
        )
    return Path(found["Dir"])


def _go(directory: Path, arguments: Sequence[str]) -> str:
    go = shutil.which("go")
    if go is None:
        raise ClusterError("go is missing: install Go 1.26 or newer and put it on PATH")
    command = ["nice", "-n", "10", go, *arguments]
    done = subprocess.run(command, cwd=directory, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(_explained(f"go {' '.join(arguments[:1])} in {directory}", done.stderr + done.stdout))
    return done.stdout


def _environment() -> Mapping[str, str]:
    # A workspace or flags of the caller's must not change what is built.
    return {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}


def _explained(what: str, output: str) -> str:
    lines = [line for line in output.splitlines() if not line.startswith("go: downloading")][-_LINES_SHOWN:]
    hints = [hint for pattern, hint in _CAUSES if re.search(pattern, output)]
    return "\n".join([f"{what} failed:", *(f"  {line}" for line in lines), *hints[:1]])
