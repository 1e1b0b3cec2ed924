"""A function for tests on a cluster: batches, an objective, and a share of a GPU that opts it in to co-scaling."""

import time

import dilu

_BATCH_S = 0.005


@dilu.function(name="example", batch=8, slo_ms=1000, sm_request=100, sm_limit=200, gpu_memory="64Mi", max_scale=4)
def upper(texts: list[str]) -> list[str]:
    """Each text in capitals, after the time that a small model takes for a batch."""
    time.sleep(_BATCH_S)
    return [text.upper() for text in texts]
