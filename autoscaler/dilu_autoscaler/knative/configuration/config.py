"""Knative's ConfigMaps as far as the autoscaler reads them, with Knative's defaults and rules.

A map with one invalid value is refused as a whole: `ConfigStore` keeps its previous contents.
Source: the contract, §4.4 and §5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dilu.errors import ConfigError
from dilu_autoscaler.knative.configuration.config_values import ConfigValues

AUTOSCALER: Final = "config-autoscaler"
DEPLOYMENT: Final = "config-deployment"
NETWORK: Final = "config-network"
LEADER_ELECTION: Final = "config-leader-election"
OBSERVABILITY: Final = "config-observability"
LOGGING: Final = "config-logging"

KPA_CLASS: Final = "kpa.autoscaling.knative.dev"
MAX_BUCKETS: Final = 10
_MIN_TARGET: Final = 0.01
_LEVELS: Final = ("debug", "info", "warn", "warning", "error", "dpanic", "panic", "fatal", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoscalerConfig:
    """`config-autoscaler`."""

    concurrency_target: float = 100.0
    utilization_ratio: float = 0.7
    rps_target: float = 200.0
    target_burst_capacity: float = 211.0
    stable_window_s: int = 60
    panic_window_percentage: float = 10.0
    panic_threshold_percentage: float = 200.0
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    scale_to_zero: bool = True
    scale_to_zero_grace_s: float = 30.0
    retention_s: float = 0.0
    default_class: str = KPA_CLASS
    activator_capacity: float = 100.0
    initial_scale: int = 1
    allow_zero_initial_scale: bool = False
    min_scale: int = 0
    max_scale: int = 0  # 0: unlimited
    max_scale_limit: int = 0
    scale_down_delay_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentConfig:
    """`config-deployment`."""

    progress_deadline_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """`config-network`; read only at the start."""

    mesh_mode: str = "auto"  # auto | enabled | disabled
    mesh_pod_addressability: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderElectionConfig:
    """`config-leader-election`; read only at the start."""

    buckets: int = 1
    lease_duration_s: float = 60.0
    renew_deadline_s: float = 40.0
    retry_period_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservabilityConfig:
    """`config-observability`."""

    metrics_protocol: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingConfig:
    """`config-logging`."""

    level: str = "info"


def parse_autoscaler(data: Mapping[str, str]) -> AutoscalerConfig:
    """Read `config-autoscaler`. Raises `ConfigError` for a value that Knative refuses."""
    values = ConfigValues(AUTOSCALER, data)
    utilization_ratio = _ratio(values, "container-concurrency-target-percentage", 70.0)
    concurrency_target = values.number("container-concurrency-target-default", 100.0)
    if utilization_ratio * concurrency_target < _MIN_TARGET:
        raise values.wrong("container-concurrency-target-default", "times the percentage must be at least 0.01")
    burst = values.number("target-burst-capacity", 211.0)
    if burst < 0 and burst != -1:
        raise values.wrong("target-burst-capacity", "must be at least 0, or -1 for no limit")
    panic_window = values.number("panic-window-percentage", 10.0, min_value=1.0)
    if panic_window > 100:
        raise values.wrong("panic-window-percentage", "must be at most 100")
    allow_zero = values.flag("allow-zero-initial-scale", False)
    initial = values.count("initial-scale", 1)
    if initial == 0 and not allow_zero:
        raise values.wrong("initial-scale", "may be 0 only with allow-zero-initial-scale: true")
    min_scale, max_scale, limit = _scales(values)
    return AutoscalerConfig(
        concurrency_target=concurrency_target,
        utilization_ratio=utilization_ratio,
        rps_target=values.number("requests-per-second-target-default", 200.0, min_value=_MIN_TARGET),
        target_burst_capacity=burst,
        stable_window_s=int(values.seconds("stable-window", 60.0, min_value=6.0, max_value=3600.0, whole=True)),
        panic_window_percentage=panic_window,
        panic_threshold_percentage=values.number("panic-threshold-percentage", 200.0),
        max_scale_up_rate=values.number("max-scale-up-rate", 1000.0, above=1.0),
        max_scale_down_rate=values.number("max-scale-down-rate", 2.0, above=1.0),
        scale_to_zero=values.flag("enable-scale-to-zero", True),
        scale_to_zero_grace_s=values.seconds("scale-to-zero-grace-period", 30.0, above=0.0),
        retention_s=values.seconds("scale-to-zero-pod-retention-period", 0.0),
        default_class=data.get("pod-autoscaler-class", KPA_CLASS),
        activator_capacity=values.number("activator-capacity", 100.0, min_value=1.0),
        initial_scale=initial,
        allow_zero_initial_scale=allow_zero,
        min_scale=min_scale,
        max_scale=max_scale,
        max_scale_limit=limit,
        scale_down_delay_s=int(values.seconds("scale-down-delay", 0.0, whole=True)),
    )


def _ratio(values: ConfigValues, key: str, default: float) -> float:
    """Return a share: values above 1 are percentages."""
    number = values.number(key, default)
    ratio = number / 100 if number > 1 else number
    if not 0 < ratio <= 1:
        raise values.wrong(key, "must be a percentage up to 100, or a share above 0 and up to 1")
    return ratio


def _scales(values: ConfigValues) -> tuple[int, int, int]:
    min_scale, max_scale = values.count("min-scale", 0), values.count("max-scale", 0)
    limit = values.count("max-scale-limit", 0)
    if max_scale and min_scale > max_scale:
        raise values.wrong("min-scale", f"must be at most max-scale, which is {max_scale}")
    if limit and not 1 <= max_scale <= limit:
        raise values.wrong("max-scale", f"must be in 1..{limit}, which is max-scale-limit")
    return min_scale, max_scale, limit


def parse_deployment(data: Mapping[str, str]) -> DeploymentConfig:
    """Read `config-deployment`, which is not valid without the sidecar's image."""
    values = ConfigValues(DEPLOYMENT, data)
    if not (data.get("queue-sidecar-image") or data.get("queueSidecarImage")):
        raise values.wrong("queue-sidecar-image", "must name the image of queue-proxy")
    return DeploymentConfig(progress_deadline_s=values.seconds("progress-deadline", 600.0, above=0.0, whole=True))


def parse_network(data: Mapping[str, str]) -> NetworkConfig:
    """Read `config-network`."""
    values = ConfigValues(
        NETWORK, {**data, "mesh-compatibility-mode": _lowered(data, "mesh-compatibility-mode", "auto")}
    )
    return NetworkConfig(
        mesh_mode=values.one_of("mesh-compatibility-mode", "auto", ("auto", "enabled", "disabled")),
        mesh_pod_addressability=_lowered(data, "enable-mesh-pod-addressability", "false") == "true",
    )


def _lowered(data: Mapping[str, str], key: str, default: str) -> str:
    return data.get(key, default).lower()


def parse_leader_election(data: Mapping[str, str]) -> LeaderElectionConfig:
    """Read `config-leader-election`."""
    values = ConfigValues(LEADER_ELECTION, data)
    config = LeaderElectionConfig(
        buckets=values.count("buckets", 1, min_value=1, max_value=MAX_BUCKETS),
        lease_duration_s=values.seconds("lease-duration", 60.0, above=0.0),
        renew_deadline_s=values.seconds("renew-deadline", 40.0, above=0.0),
        retry_period_s=values.seconds("retry-period", 10.0, above=0.0),
    )
    if not config.lease_duration_s > config.renew_deadline_s > 1.2 * config.retry_period_s:
        raise values.wrong("lease-duration", "must be above renew-deadline, and that above 1.2 times retry-period")
    return config


def parse_observability(data: Mapping[str, str]) -> ObservabilityConfig:
    """Read `config-observability`."""
    protocols = ("none", "prometheus", "http/protobuf", "grpc")
    values = ConfigValues(OBSERVABILITY, data)
    return ObservabilityConfig(metrics_protocol=values.one_of("metrics-protocol", "none", protocols))


def parse_logging(data: Mapping[str, str]) -> LoggingConfig:
    """Read `config-logging`: only the level, as the line format is our own."""
    values = ConfigValues(LOGGING, data)
    level = values.one_of("loglevel.autoscaler", "info", _LEVELS)
    return LoggingConfig(level=level or "info")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All ConfigMaps."""

    autoscaler: AutoscalerConfig = AutoscalerConfig()
    deployment: DeploymentConfig = DeploymentConfig()
    network: NetworkConfig = NetworkConfig()
    leader_election: LeaderElectionConfig = LeaderElectionConfig()
    observability: ObservabilityConfig = ObservabilityConfig()
    logging: LoggingConfig = LoggingConfig()


_PARSERS: Final[dict[str, tuple[str, Callable[[Mapping[str, str]], Any]]]] = {
    AUTOSCALER: ("autoscaler", parse_autoscaler),
    DEPLOYMENT: ("deployment", parse_deployment),
    NETWORK: ("network", parse_network),
    LEADER_ELECTION: ("leader_election", parse_leader_election),
    OBSERVABILITY: ("observability", parse_observability),
    LOGGING: ("logging", parse_logging),
}
CONFIG_MAPS: Final = tuple(_PARSERS)
REQUIRED_MAPS: Final = frozenset(CONFIG_MAPS) - {LEADER_ELECTION}


class ConfigStore:
    """The configuration in force: the last valid contents of each map."""

    def __init__(self) -> None:
        self.config = Config()

    def update(self, name: str, data: Mapping[str, str] | None) -> str | None:
        """Apply a map's new contents (None: it was deleted), or return the reason why the old ones stay in force.

        A deleted map changes nothing: an autoscaler must not fall back to defaults because of a mistake.
        """
        if name not in _PARSERS:
            return None
        if data is None:
            return f"ConfigMap {name} was deleted; its last valid contents stay in force"
        part, parse = _PARSERS[name]
        try:
            parsed = parse(data)
        except ConfigError as error:
            return f"{error}; the previous contents stay in force"
        self.config = Config(**{**{field: getattr(self.config, field) for field in _FIELDS}, part: parsed})
        return None


_FIELDS: Final = tuple(part for part, _ in _PARSERS.values())
