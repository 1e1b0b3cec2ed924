"""How large the cluster is, and how long replicas take to come up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dilu.spec.fields import number_from_zero, whole_number

GIB_MIB: Final = 1024
MAX_GPUS: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSize:
    """How many GPUs there are, of which size, and how much may be booked on each."""

    nodes: int = 1
    gpus_per_node: int = 4
    gpu_memory_mib: int = 40 * GIB_MIB
    omega_milli: int = 1000
    """The most that the requests on one GPU may add up to."""
    gamma_milli: int = 1500
    """The most that the limits on one GPU may add up to."""

    def __post_init__(self) -> None:
        whole_number("nodes", self.nodes, minimum=1, maximum=MAX_GPUS)
        whole_number("gpus_per_node", self.gpus_per_node, minimum=1, maximum=MAX_GPUS // self.nodes)
        whole_number("gpu_memory", self.gpu_memory_mib, minimum=1, unit="MiB")
        whole_number("omega", self.omega_milli, minimum=1, maximum=1000, unit="milli-GPU")
        whole_number("gamma", self.gamma_milli, minimum=self.omega_milli, maximum=64_000, unit="milli-GPU")

    @property
    def gpus(self) -> int:
        """All of them."""
        return self.nodes * self.gpus_per_node


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStartDelay:
    """How long a replica takes from having a place to being ready, by phases. All are assumed: state your own."""

    image_s: float = 0.0
    """Once for each function on each node."""
    process_s: float = 0.5
    import_s: float = 4.0
    load_s: float = 5.0
    warm_up_s: float = 0.5

    def __post_init__(self) -> None:
        for name in ("image_s", "process_s", "import_s", "load_s", "warm_up_s"):
            number_from_zero(name, getattr(self, name))

    @property
    def start_s(self) -> float:
        """Without the image."""
        return self.process_s + self.import_s + self.load_s + self.warm_up_s
