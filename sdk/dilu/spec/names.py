"""The names that processes share: annotations, resources, environment, headers, ports, cold-start phases."""

from __future__ import annotations

from typing import Final

# Annotations of a function, on the Knative Service template or the OpenFaaS function.
PREFIX: Final = "dilu.dev/"
SM_REQUEST: Final = "dilu.dev/sm-request"
SM_LIMIT: Final = "dilu.dev/sm-limit"
GPU_MEMORY: Final = "dilu.dev/gpu-memory"
GPUS: Final = "dilu.dev/gpus"
SLO_MS: Final = "dilu.dev/slo-ms"
BATCH: Final = "dilu.dev/batch"
RPS_REQUEST: Final = "dilu.dev/rps-request"
RPS_LIMIT: Final = "dilu.dev/rps-limit"
KIND: Final = "dilu.dev/kind"
AFFINITY_GROUP: Final = "dilu.dev/affinity-group"
MAX_STAGES: Final = "dilu.dev/max-stages"

# Annotations of a pod that only Dilu itself reads and writes.
SHARE_OVERRIDE: Final = "dilu.dev/share-override"
GPU_UUIDS: Final = "dilu.dev/gpu-uuids"
GPU_SHARES: Final = "dilu.dev/gpu-shares"

# Knative's annotations, which keep their meaning. Knative also accepts the older spelling in camel case,
# and where both are there the first of the pair wins.
MIN_SCALE: Final = "autoscaling.knative.dev/min-scale"
MIN_SCALE_ALIAS: Final = "autoscaling.knative.dev/minScale"
MAX_SCALE: Final = "autoscaling.knative.dev/max-scale"
MAX_SCALE_ALIAS: Final = "autoscaling.knative.dev/maxScale"

# Extended resources that a node offers: 1000 per GPU, and MiB.
RESOURCE_GPU_MILLI: Final = "dilu.dev/gpu-milli"
RESOURCE_GPU_MEMORY_MIB: Final = "dilu.dev/gpu-memory-mib"

# Environment of a replica.
ENV_HOST: Final = "HOST"
ENV_PORT: Final = "PORT"
ENV_STATS_PORT: Final = "DILU_STATS_PORT"
ENV_FUNCTION_SPEC: Final = "DILU_FUNCTION_SPEC"  # a JSON object: keys of dilu.yaml that override the decorator's
ENV_REPLICA: Final = "DILU_REPLICA"  # the replica's name in logs
ENV_LOG_FORMAT: Final = "DILU_LOG_FORMAT"  # json | plain
ENV_REQUEST_TIMEOUT_S: Final = "DILU_REQUEST_TIMEOUT_S"  # maximum time of a request
ENV_CONTROL_FD: Final = "DILU_CONTROL_FD"  # number of the inherited socket on which a replica reports to its parent
ENV_K_SERVICE: Final = "K_SERVICE"  # set by Knative
ENV_K_REVISION: Final = "K_REVISION"
ENV_K_CONFIGURATION: Final = "K_CONFIGURATION"

# Environment of the commands on one machine.
ENV_RUN_DIR: Final = "DILU_RUN_DIR"  # where `dilu up` keeps its socket, lock and logs

# Variables that the platform sets for a replica; a function's own `env` may not.
RESERVED_ENVIRONMENT: Final = frozenset(
    {
        ENV_HOST,
        ENV_PORT,
        ENV_STATS_PORT,
        ENV_FUNCTION_SPEC,
        ENV_REPLICA,
        ENV_LOG_FORMAT,
        ENV_CONTROL_FD,
        ENV_K_SERVICE,
        ENV_K_REVISION,
        ENV_K_CONFIGURATION,
    }
)

# Headers.
HEADER_REQUEST_ID: Final = "X-Request-Id"
HEADER_REFUSED: Final = "Dilu-Refused"  # the request was not executed: it is safe to send it elsewhere
HEADER_RETRY_AFTER: Final = "Retry-After"
HEADER_TIMEOUT_MS: Final = "X-Request-Timeout-Ms"  # how long the client waits for an answer, from its arrival
HEADER_ENVOY_TIMEOUT_MS: Final = "X-Envoy-Expected-Rq-Timeout-Ms"  # how long Envoy waits, if a route sets it
HEADER_PRIORITY: Final = "Priority"  # RFC 9218
DEFAULT_URGENCY: Final = 3  # of a request without it; 0 is the most urgent, 7 the least
HEADER_SERVER_TIMING: Final = "Server-Timing"

# Values of Dilu-Refused.
REFUSED_QUEUE_FULL: Final = "queue-full"
REFUSED_DRAINING: Final = "draining"
REFUSED_STARTING: Final = "starting"
REFUSED_DEADLINE: Final = "deadline"  # it would miss its objective or its client's deadline
REFUSED_DISPLACED: Final = "displaced"  # a more urgent request took its place in the queue

# Values of DILU_LOG_FORMAT.
LOG_FORMAT_JSON: Final = "json"
LOG_FORMAT_PLAIN: Final = "plain"

# Default ports. Knative reserves 8008, 8012, 8013, 8022, 9090 and 9091.
DEFAULT_PORT: Final = 8080
DEFAULT_STATS_PORT: Final = 8091

# Phases of a cold start, in the order in which they happen.
PHASE_PROCESS: Final = "process"
PHASE_IMPORT: Final = "import"
PHASE_LOAD: Final = "load"
PHASE_WARMUP: Final = "warmup"
COLD_START_PHASES: Final = (PHASE_PROCESS, PHASE_IMPORT, PHASE_LOAD, PHASE_WARMUP)

# File names that people write.
APPLICATION_FILE: Final = "dilu.yaml"
PROFILE_FILE: Final = "profile.yaml"
