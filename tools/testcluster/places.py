"""Where things lie: the cache of what was built, and the directory of each cluster."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import ClusterError

PACKAGE: Final = Path(__file__).resolve().parent
ROOT: Final = PACKAGE.parents[1]
GO_MODULES: Final = PACKAGE / "go"
DEFAULT_NAME: Final = "dilu-test"
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")
# A Unix socket's path must stay below 108 bytes, and ours is 10 longer than its directory.
_MAX_DIRECTORY_LENGTH: Final = 96
# The cluster has these to itself: it sees nothing of the machine's own, so its directory must lie elsewhere.
PRIVATE_DIRECTORIES: Final = (Path("/run"), Path("/var/lib"), Path("/var/log"))


def cache_directory() -> Path:
    """Where builds are kept between runs."""
    return _user_directory("XDG_CACHE_HOME", ".cache") / "dilu-test-cluster"


def clusters_directory() -> Path:
    """Where each cluster has its directory."""
    return _user_directory("XDG_STATE_HOME", ".local/state") / "dilu-test-clusters"


def _user_directory(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    return Path(value) if value.startswith("/") else Path.home() / default  # XDG requires relative paths to be ignored


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one cluster, as the machine sees them."""

    name: str
    directory: Path

    @property
    def record(self) -> Path:
        """What `down` needs to know."""
        return self.directory / "record.json"

    @property
    def failed_logs(self) -> Path:
        """The logs of a start that failed, kept when everything else is removed."""
        return self.directory.parent / f"{self.name}.failed-logs"

    @property
    def control(self) -> Path:
        """The socket of the cluster's first process."""
        return self.directory / "init.sock"

    @property
    def logs(self) -> Path:
        """One file for each component."""
        return self.directory / "logs"

    @property
    def certificates(self) -> Path:
        """The certificate authority, keys and certificates."""
        return self.directory / "pki"

    @property
    def configuration(self) -> Path:
        """Configuration files of the components."""
        return self.directory / "etc"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's way in, valid inside the cluster's network namespace."""
        return self.configuration / "admin.kubeconfig"

    def private(self, directory: Path) -> Path:
        """Where the cluster's own content of /var/lib or /var/log really lies."""
        return self.directory / str(directory).strip("/").replace("/", "-")


def places_of(name: str) -> Places:
    """Return the places of the cluster with this name; raise if the name or the directory cannot be used."""
    if not _NAME.fullmatch(name):
        raise ClusterError(f"cluster name {name!r}: want a letter, then at most 30 of a-z, 0-9 and '-'")
    directory = clusters_directory() / name
    if len(str(directory)) > _MAX_DIRECTORY_LENGTH:
        raise ClusterError(
            f"directory {directory}: {len(str(directory))} characters, at most {_MAX_DIRECTORY_LENGTH} leave room for "
            "a socket in it. Set XDG_STATE_HOME to a shorter path."
        )
    for private in PRIVATE_DIRECTORIES:
        if directory.resolve().is_relative_to(private.resolve()):
            raise ClusterError(f"directory {directory}: a cluster hides {private} from itself. Set XDG_STATE_HOME.")
    return Places(name=name, directory=directory)
