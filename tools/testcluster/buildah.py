"""Images built by buildah as people build them by docker: from the Dockerfiles, here without a registry or a daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Final

from .errors import ClusterError

_LINES_SHOWN: Final = 15
_MAX_IMAGES: Final = 200  # layers that are kept count as images: about 1 GB
# pip's own configuration wins over these, which Python and its libraries read.
_AUTHORITIES: Final = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_NO_SETTING: Final = frozenset({"PIP_CONFIG_FILE", "PIP_CERT"})
_SYSTEM_CONFIGURATION: Final = "/etc/pip.conf"
_USER_CONFIGURATION: Final = "/root/.config/pip/pip.conf"  # wins over the system's


class Buildah:
    """Buildah with a store of its own, in which layers are kept from one build to the next."""

    def __init__(self, store: Path) -> None:
        self._store = store

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process builds with this store at the same time; a store that has grown large is emptied."""
        self._store.mkdir(parents=True, exist_ok=True)
        with (self._store / ".lock").open("w") as file:
            flock(file, LOCK_EX)
            if len(self._run(["images", "--all", "--quiet"]).stdout.split()) > _MAX_IMAGES:
                self._run(["rmi", "--all", "--force"])
            yield

    def has(self, reference: str) -> bool:
        """Whether the store has this image."""
        return self._run(["inspect", "--type", "image", reference], check=False).returncode == 0

    def load(self, archive: Path, reference: str) -> None:
        """Load the image of a docker archive into the store under this name."""
        found = self._run(["pull", "--quiet", "--policy", "always", f"docker-archive:{archive}"]).stdout.split()
        self._run(["tag", found[-1], reference])

    def build(self, context: Path, dockerfile: Path, reference: str, arguments: Mapping[str, str]) -> None:
        """Build an image; only layers whose inputs have changed are built again."""
        options = ["--isolation", "chroot", "--network", "host", "--pull-never", "--layers", "--force-rm"]
        for name, value in arguments.items():
            options += ["--build-arg", f"{name}={value}"]
        with _pip_mounts() as mounts:
            self._run(["bud", *options, *mounts, "--tag", reference, "--file", str(dockerfile), str(context)])

    def save(self, reference: str, archive: Path, name: str) -> None:
        """Write the image as a docker archive in which it has the given name."""
        self._run(["push", "--quiet", reference, f"docker-archive:{archive}:{name}"])

    def _run(self, arguments: Sequence[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        program = shutil.which("buildah")
        if program is None:
            raise ClusterError("buildah is missing: install Debian's package buildah")
        store = ["--root", str(self._store / "root"), "--runroot", str(self._store / "run")]
        # In a mount namespace of its own: its store would else stay mounted, and could not be removed.
        command = ["unshare", "--mount", "nice", "-n", "10", program, *store, "--storage-driver", "overlay", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            lines = "\n".join(f"  {line}" for line in (done.stdout + done.stderr).splitlines()[-_LINES_SHOWN:])
            hint = f"If its store is damaged, remove {self._store}."
            raise ClusterError(f"buildah {arguments[0]} failed:\n{lines}\n{hint}")
        return done


@contextmanager
def _pip_mounts() -> Iterator[list[str]]:
    """Options that let pip in a build step reach what it reaches here; nothing of it stays in the image."""
    with tempfile.TemporaryDirectory(prefix="dilu-pip-") as folder:
        settings = Path(folder) / "pip.conf"
        settings.touch(mode=0o600)
        settings.write_text(_pip_settings(os.environ))
        mounts = {_USER_CONFIGURATION: str(settings)}
        system = next((path for path in _system_configurations() if path.is_file()), None)
        if system is not None:
            mounts[_SYSTEM_CONFIGURATION] = str(system)
        mounts |= {path: path for path in _named_paths(os.environ)}
        yield [part for target, source in mounts.items() for part in ("--volume", f"{source}:{target}:ro")]


def _system_configurations() -> list[Path]:
    named = os.environ.get("PIP_CONFIG_FILE")
    own = [Path(named)] if named else []
    return [*own, Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf", Path(_SYSTEM_CONFIGURATION)]


def _pip_settings(environment: Mapping[str, str]) -> str:
    """pip's environment variables as the file that says the same."""
    lines = ["[global]"]
    for name, value in sorted(environment.items()):
        if name.startswith("PIP_") and name not in _NO_SETTING and value:
            lines.append(f"{name.removeprefix('PIP_').lower().replace('_', '-')} = {value}")
    authorities = _authorities(environment)
    return "\n".join([*lines, *([f"cert = {authorities}"] if authorities else [])]) + "\n"


def _authorities(environment: Mapping[str, str]) -> str | None:
    return next((environment[name] for name in _AUTHORITIES if environment.get(name)), None)


def _named_paths(environment: Mapping[str, str]) -> list[str]:
    """Files and directories of this machine that the settings name."""
    words = [_authorities(environment) or "", *environment.get("PIP_FIND_LINKS", "").split()]
    return sorted({word for word in words if word.startswith("/") and Path(word).exists()})
