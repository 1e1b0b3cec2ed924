import subprocess
import sys

from dilu.spec import FunctionSpec, SpecOptions, names, to_mapping
from dilu.spec.annotations import ANNOTATION_OF
from dilu.spec.mappings import KEYS

WIRE = {
    "SM_REQUEST": "dilu.dev/sm-request",
    "SM_LIMIT": "dilu.dev/sm-limit",
    "GPU_MEMORY": "dilu.dev/gpu-memory",
    "GPUS": "dilu.dev/gpus",
    "SLO_MS": "dilu.dev/slo-ms",
    "BATCH": "dilu.dev/batch",
    "RPS_REQUEST": "dilu.dev/rps-request",
    "RPS_LIMIT": "dilu.dev/rps-limit",
    "KIND": "dilu.dev/kind",
    "AFFINITY_GROUP": "dilu.dev/affinity-group",
    "MAX_STAGES": "dilu.dev/max-stages",
    "SHARE_OVERRIDE": "dilu.dev/share-override",
    "GPU_UUIDS": "dilu.dev/gpu-uuids",
    "GPU_SHARES": "dilu.dev/gpu-shares",
    "RESOURCE_GPU_MILLI": "dilu.dev/gpu-milli",
    "RESOURCE_GPU_MEMORY_MIB": "dilu.dev/gpu-memory-mib",
    "MIN_SCALE": "autoscaling.knative.dev/min-scale",
    "MAX_SCALE": "autoscaling.knative.dev/max-scale",
    "ENV_PORT": "PORT",
    "ENV_HOST": "HOST",
    "ENV_K_SERVICE": "K_SERVICE",
    "ENV_STATS_PORT": "DILU_STATS_PORT",
    "ENV_FUNCTION_SPEC": "DILU_FUNCTION_SPEC",
    "ENV_REPLICA": "DILU_REPLICA",
    "ENV_LOG_FORMAT": "DILU_LOG_FORMAT",
    "ENV_CONTROL_FD": "DILU_CONTROL_FD",
    "HEADER_REQUEST_ID": "X-Request-Id",
    "HEADER_REFUSED": "Dilu-Refused",
    "DEFAULT_PORT": 8080,
    "DEFAULT_STATS_PORT": 8091,
    "COLD_START_PHASES": ("process", "import", "load", "warmup"),
}


def test_names_on_the_wire_do_not_change_by_accident() -> None:
    assert {name: getattr(names, name) for name in WIRE} == WIRE


def test_no_two_names_are_the_same() -> None:
    values = [value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)]
    assert len(values) == len(set(values))


def test_every_function_annotation_belongs_to_a_key_of_the_spec() -> None:
    assert set(ANNOTATION_OF) == set(KEYS) - {"name"}
    system = {names.PREFIX, names.SHARE_OVERRIDE, names.GPU_UUIDS, names.GPU_SHARES}
    resources = {names.RESOURCE_GPU_MILLI, names.RESOURCE_GPU_MEMORY_MIB}
    ours = {value for value in vars(names).values() if isinstance(value, str) and value.startswith(names.PREFIX)}
    assert ours - system - resources <= set(ANNOTATION_OF.values())


def test_decorator_file_and_spec_have_the_same_keys() -> None:
    assert set(SpecOptions.__annotations__) == set(KEYS) - {"name"}
    assert tuple(to_mapping(FunctionSpec(name="f"))) == KEYS
    fields = {{"slo": "slo_ms", "gpu_memory_mib": "gpu_memory"}.get(field, field) for field in FunctionSpec.__slots__}
    assert fields == set(KEYS)


def test_the_vocabulary_loads_without_yaml() -> None:
    code = "import sys, dilu.spec; print('yaml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
