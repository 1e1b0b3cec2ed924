"""A scenario as frozen values; an impossible one is refused when it is created, with the value and the rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from dilu.errors import ConfigError
from dilu.load.arrivals import Arrivals
from dilu.spec import FunctionSpec, Kind, Slo
from dilu.spec.fields import FieldError, label, number_from_zero, positive_number, whole_number
from dilu_autoscaler.policy.vertical import VerticalPolicy, vertical_policy_named
from dilu_simulator.arrivals import FixedTokens, TokenSource
from dilu_simulator.devices import Demand, placement_named
from dilu_simulator.models import Model
from dilu_simulator.scenario.sizes import ClusterSize, ColdStartDelay

_ADMISSIONS: Final = ("slo", "queue")


@dataclass(frozen=True, kw_only=True)
class InferenceFunction:
    """One function under load. None stands for the model's value."""

    name: str
    model: Model
    arrivals: Arrivals
    tokens: TokenSource | None = None
    """Of the requests to a language model. None: the model's typical ones."""
    slo_ms: float | None = None
    """Of a request; of a language model per output token."""
    batch: int | None = None
    sm_request: int | None = None
    sm_limit: int | None = None
    gpu_memory_mib: int | None = None
    gpus: int = 1
    min_scale: int = 0
    max_scale: int | None = None
    warm: int = 0
    """Replicas that are ready at the beginning; they are no cold starts."""
    cold_start: ColdStartDelay = field(default_factory=ColdStartDelay)
    admission: str = "slo"
    """slo: replicas refuse what they would answer too late. queue: everything waits."""
    policy: str | None = None
    """A horizontal policy of its own. None: the scenario's."""

    def __post_init__(self) -> None:
        whole_number("warm", self.warm, minimum=0)
        if self.slo_ms is not None:  # or its error would name the field of the spec that it becomes
            positive_number("slo_ms", self.slo_ms)
        if self.admission not in _ADMISSIONS:
            raise FieldError("admission", f"must be one of {', '.join(_ADMISSIONS)}", self.admission)
        if self.tokens is not None and self.model.llm is None:
            raise FieldError("tokens", f"are for language models only; {self.model.name} is none")
        largest = self.model.max_batch
        if self.batch is not None and largest is not None and self.batch > largest:
            raise FieldError("batch", f"must be at most {largest}: {self.model.name} was measured up to it", self.batch)
        _ = self.spec

    @cached_property
    def spec(self) -> FunctionSpec:
        """The function as every part knows it, without the rates that depend on the vertical policy."""
        model = self.model
        sm_request = model.sm_request if self.sm_request is None else self.sm_request
        sm_limit = self.sm_limit
        if sm_limit is None:
            sm_limit = max(sm_request, model.sm_limit) if self.sm_request is None else min(1000, 2 * sm_request)
        return FunctionSpec(
            name=self.name,
            kind=model.kind,
            slo=Slo(latency_ms=model.slo_ms if self.slo_ms is None else self.slo_ms),
            batch=model.batch if self.batch is None else self.batch,
            sm_request=sm_request,
            sm_limit=sm_limit,
            gpu_memory_mib=model.gpu_memory_mib if self.gpu_memory_mib is None else self.gpu_memory_mib,
            gpus=self.gpus,
            min_scale=self.min_scale,
            max_scale=self.max_scale,
        )

    @property
    def token_source(self) -> TokenSource | None:
        """The tokens of its requests. None: it is no language model."""
        llm = self.model.llm
        if llm is None or self.tokens is not None:
            return self.tokens
        return FixedTokens(prompt=llm.prompt_tokens, output=llm.output_tokens)

    @property
    def demand(self) -> Demand:
        """Demand of one replica."""
        return demand_of(self.spec)


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Training on some GPUs. None stands for the model's value."""

    name: str
    model: Model
    gpus: int = 1
    sm_request: int | None = None
    sm_limit: int | None = None
    gpu_memory_mib: int | None = None
    start_s: float = 0.0
    iterations: int | None = None
    """None: it runs until the end."""
    cold_start: ColdStartDelay = field(default_factory=ColdStartDelay)

    def __post_init__(self) -> None:
        number_from_zero("start", self.start_s)
        if self.iterations is not None:
            whole_number("iterations", self.iterations, minimum=1)
        _ = self.spec

    @cached_property
    def spec(self) -> FunctionSpec:
        """The job as every part knows it."""
        profile = self.model.training
        sm_request = profile.sm_request if self.sm_request is None else self.sm_request
        return FunctionSpec(
            name=self.name,
            kind=Kind.TRAINING,
            sm_request=sm_request,
            sm_limit=max(sm_request, profile.sm_limit) if self.sm_limit is None else self.sm_limit,
            gpu_memory_mib=profile.gpu_memory_mib if self.gpu_memory_mib is None else self.gpu_memory_mib,
            gpus=self.gpus,
        )

    @property
    def demand(self) -> Demand:
        """Demand of the job."""
        return demand_of(self.spec)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """All that is simulated but the seed."""

    name: str = "scenario"
    duration_s: float
    cluster: ClusterSize = field(default_factory=ClusterSize)
    functions: tuple[InferenceFunction, ...] = ()
    training: tuple[TrainingJob, ...] = ()
    policy: str = "dilu"
    """Horizontal, unless a function has its own: a name, or FILE.py:FUNCTION."""
    vertical: str = "dilu"
    placement: str | None = None
    """None: what goes with the vertical policy, see `default_placement`."""

    def __post_init__(self) -> None:
        positive_number("duration", self.duration_s)
        vertical_policy_named(self.vertical)
        if self.placement is not None:
            placement_named(self.placement)
        if not self.functions and not self.training:
            raise ConfigError(f"scenario {self.name!r}: no functions and no training, must have one at least")
        names: set[str] = set()
        for entry in self.entries:
            label("name", entry.name)
            if entry.name in names:
                raise FieldError("name", "must differ between functions and training jobs", entry.name)
            names.add(entry.name)
            check_fits(entry, self.cluster)

    @property
    def entries(self) -> Iterator[InferenceFunction | TrainingJob]:
        """Functions and training jobs."""
        yield from self.functions
        yield from self.training


def default_placement(vertical: VerticalPolicy) -> str:
    """Return the placement for the policy: `exclusive` needs a whole GPU for each replica, all others share."""
    return "exclusive" if vertical.name == "exclusive" else "first-fit"


def demand_of(spec: FunctionSpec) -> Demand:
    """Return the demand of one replica of a function."""
    assert spec.sm_request is not None, "every entry of a scenario has shares and memory"
    assert spec.sm_limit is not None, "every entry of a scenario has shares and memory"
    assert spec.gpu_memory_mib is not None, "every entry of a scenario has shares and memory"
    return Demand(
        function=spec.name,
        kind=spec.kind,
        gpus=spec.gpus,
        request_milli=spec.sm_request,
        limit_milli=spec.sm_limit,
        memory_mib=spec.gpu_memory_mib,
        affinity_group=spec.affinity_group,
    )


def check_fits(entry: InferenceFunction | TrainingJob, size: ClusterSize) -> None:
    """Refuse what no GPU could ever hold: it would wait forever."""
    demand = entry.demand
    for key, asked, most, of in (
        ("gpus", demand.gpus, size.gpus, "GPUs in the cluster"),
        ("gpu_memory", demand.memory_mib, size.gpu_memory_mib, "MiB on a GPU"),
        ("sm_request", demand.request_milli, size.omega_milli, "milli-GPU that requests may add up to (omega)"),
        ("sm_limit", demand.limit_milli, size.gamma_milli, "milli-GPU that limits may add up to (gamma)"),
    ):
        if asked > most:
            raise FieldError(key, f"must be at most the {most} {of}, or {entry.name} never finds room", asked)


def reached_milli(vertical: VerticalPolicy, demand: Demand) -> int:
    """Return the share that a replica has on a GPU of its own."""
    return vertical.max_grant_milli(demand.request_milli, demand.limit_milli, 1000)
