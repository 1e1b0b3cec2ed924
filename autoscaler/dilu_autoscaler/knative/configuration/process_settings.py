"""The settings of the autoscaler's process: flags, and the environment variables of Knative's autoscaler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from dilu.errors import ConfigError
from dilu_autoscaler.knative.configuration import config
from dilu_autoscaler.policy.horizontal import DEFAULT_POLICY

DEFAULT_DOMAIN: Final = "cluster.local"
_RESOLV_CONF: Final = Path("/etc/resolv.conf")


class Mode(StrEnum):
    """What the process does in a cluster."""

    REPLACE = "replace"  # it is the autoscaler; Knative's is scaled to zero, or stands by
    COEXIST = "coexist"  # Knative's accepts the activators' websockets and stands by; this process holds the leases
    OBSERVE = "observe"  # it decides and logs what it would do, and writes nothing

    @property
    def writes(self) -> bool:
        """Return whether the process changes anything in the cluster."""
        return self is not Mode.OBSERVE


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """The settings of one process."""

    pod_name: str
    pod_ip: str
    mode: Mode = Mode.REPLACE
    system_namespace: str = "knative-serving"
    cluster_domain: str = DEFAULT_DOMAIN
    kubeconfig: Path | None = None  # None: $KUBECONFIG, or the pod's service account
    host: str | None = None  # None: all addresses
    stat_port: int = 8080
    explain_port: int = 9090
    policy: str = DEFAULT_POLICY  # of the revisions that opted in
    record: Path | None = None
    map_names: Mapping[str, str] = field(default_factory=dict)  # our name of each ConfigMap, by its name in the cluster

    @property
    def identity(self) -> str:
        """Return the identity of this process in leases."""
        return f"{self.pod_name}_{self.pod_ip}"


def mode_named(name: str) -> Mode:
    """Return the mode with a name. Raises `ConfigError` that lists the valid names."""
    try:
        return Mode(name)
    except ValueError:
        raise ConfigError(f"mode = {name!r}, must be one of: {', '.join(Mode)}") from None


def map_names(environment: Mapping[str, str]) -> dict[str, str]:
    """Return our name of each ConfigMap, by its name in the cluster."""
    variables = {
        config.LOGGING: "CONFIG_LOGGING_NAME",
        config.OBSERVABILITY: "CONFIG_OBSERVABILITY_NAME",
        config.LEADER_ELECTION: "CONFIG_LEADERELECTION_NAME",
    }
    return {environment.get(variables.get(name, "")) or name: name for name in config.CONFIG_MAPS}


def cluster_domain(environment: Mapping[str, str], resolv_conf: Path = _RESOLV_CONF) -> str:
    """Return the cluster's domain: $CLUSTER_DOMAIN, else the search domain in resolv.conf, else the default."""
    if named := environment.get("CLUSTER_DOMAIN"):
        return named
    try:
        lines = resolv_conf.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return DEFAULT_DOMAIN
    for line in lines:
        words = line.split()
        if words[:1] == ["search"]:
            for word in words[1:]:
                if word.startswith("svc."):
                    return word.removeprefix("svc.").rstrip(".") or DEFAULT_DOMAIN
    return DEFAULT_DOMAIN


def required(environment: Mapping[str, str], name: str) -> str:
    """Return a required variable. Raises `ConfigError` that says how a pod gets it."""
    if value := environment.get(name):
        return value
    raise ConfigError(
        f"${name} is not set; in a pod it comes from the Deployment (fieldRef), elsewhere set it yourself"
    )
