"""What a cluster needs of the machine: root, Debian's packages, room, control groups."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .console import step
from .errors import ClusterError

# Program -> Debian's package. The kubelet and kube-proxy call the small ones.
_PROGRAMS: Final[Mapping[str, str]] = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ipset": "ipset",
    "conntrack": "conntrack",
    "ethtool": "ethtool",
    "socat": "socat",
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "openssl": "openssl",
    # Images with Python in them.
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
}
_CNI: Final = Path("/usr/lib/cni/bridge")
_CNI_PACKAGE: Final = "containernetworking-plugins"
_SEARCH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BUILD_GIB: Final = 12
_RUN_GIB: Final = 4
# Debian starts a daemon as it installs it; without a sight of systemd and of the run level it does not.
_INSTALL: Final = (
    "if [ -d /run/systemd ]; then mount -t tmpfs none /run/systemd; fi; "
    "if [ -e /run/utmp ]; then mount --bind /dev/null /run/utmp; fi; "
    'apt-get update -qq && exec apt-get install -y -qq --no-install-recommends "$@"'
)


def require_root() -> None:
    """Raise unless the user is root: namespaces, mounts and containers need it."""
    if os.geteuid() != 0:
        raise ClusterError(
            "a cluster needs root: namespaces, mounts and containers are made. Run the command with sudo."
        )


def require_machine() -> None:
    """Raise if a cluster cannot run on this machine."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise ClusterError(f"{sys.platform} on {platform.machine()}: a cluster runs on Linux on x86-64")
    if not Path("/sys/fs/cgroup").is_dir():
        raise ClusterError("/sys/fs/cgroup is missing: mount the control groups first")


def require_room(directory: Path, *, gib: int, purpose: str) -> None:
    """Raise if the file system of this directory is too full."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    free_gib = shutil.disk_usage(existing).free / (1 << 30)
    if free_gib < gib:
        hint = "Make room, or move it with XDG_CACHE_HOME or XDG_STATE_HOME."
        raise ClusterError(f"{existing}: {free_gib:.1f} GiB free, {purpose} needs {gib}. {hint}")


def require_room_to_build(cache: Path) -> None:
    """Raise if a cold build would fill the disk; a warm one needs nothing."""
    if not cache.exists():
        require_room(cache, gib=_BUILD_GIB, purpose="the first build")


def require_room_to_run(directory: Path) -> None:
    """Raise if images and containers would fill the disk."""
    require_room(directory, gib=_RUN_GIB, purpose="a cluster")


def missing_packages() -> list[str]:
    """Debian's packages of the programs that are not here."""
    missing = {package for program, package in _PROGRAMS.items() if shutil.which(program, path=_SEARCH) is None}
    if not _CNI.exists():
        missing.add(_CNI_PACKAGE)
    return sorted(missing)


def install_packages() -> None:
    """Installs what is missing as root on Debian; else says what to install."""
    missing = missing_packages()
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ClusterError(
            f"missing: install Debian's packages {' '.join(missing)} (apt-get install {' '.join(missing)})"
        )
    with step(f"installing Debian's packages {' '.join(missing)}"):
        command = ["unshare", "--mount", "sh", "-c", _INSTALL, "sh", *missing]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        tail = "\n".join(f"  {line}" for line in (done.stdout + done.stderr).splitlines()[-8:])
        raise ClusterError(
            f"apt-get could not install {' '.join(missing)}:\n{tail}\nCheck the network and /etc/apt/sources.list."
        )
    still = missing_packages()
    if still:
        raise ClusterError(f"{' '.join(still)}: still missing after apt-get install")
