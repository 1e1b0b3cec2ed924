"""A GPT-2 that writes character by character, as plain events and as OpenAI's chat. Its weights are RANDOM.

So it writes nonsense; everything around it is real: the architecture, the cache of keys and values, sampling with
temperature and seed, stop texts, streaming, and a client that leaves and so ends the work. Nothing is downloaded.

dilu serve examples/text_generation/app.py
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dilu
from dilu import ChatMessage, ChatRequest, ChatResult

# The vocabulary: printable ASCII, and one more token that ends the answer.
CHARACTERS = [chr(code) for code in range(32, 127)]
END = len(CHARACTERS)
CONTEXT = 256
DEFAULT_TOKENS = 48


@dilu.function(
    name="tiny-gpt2",
    openai="chat",
    slo_ms=2000,
    gpu_memory="1Gi",
    example=ChatRequest(messages=[ChatMessage(role="user", content="hello")], max_tokens=2, seed=1),
)
class Write:
    """Continues the conversation, one character at a time."""

    def load(self) -> None:
        """Create the model. The imports are here, so that only replicas pay for torch."""
        import torch
        from transformers import GPT2Config, GPT2LMHeadModel

        torch.set_num_threads(1)
        torch.manual_seed(0)
        config = GPT2Config(
            vocab_size=END + 1, n_positions=CONTEXT, n_embd=64, n_layer=2, n_head=4, bos_token_id=END, eos_token_id=END
        )
        self._torch = torch
        self._model = GPT2LMHeadModel(config).eval()

    def predict(self, request: ChatRequest, ctx: dilu.Context) -> Iterator[str | ChatResult]:
        """Yield characters as they are generated, then why the answer ended and its length."""
        prompt = self._tokens(request)
        most = min(request.max_tokens or DEFAULT_TOKENS, CONTEXT - len(prompt))
        held = max(map(len, request.stop), default=1) - 1  # characters that may begin a stop text are not sent yet
        text, sent, made, reason = "", 0, 0, "length"
        for token in self._generated(prompt, request, most):
            if ctx.cancelled:  # the client has left, or its time is over
                return
            made += 1
            text += "" if token == END else CHARACTERS[token]
            cut = min((at for stop in request.stop if (at := text.find(stop)) >= 0), default=None)
            if token == END or cut is not None:
                text, reason = text[:cut], "stop"
                break
            if len(text) - held > sent:
                yield text[sent : len(text) - held]
                sent = len(text) - held
        yield ChatResult(text=text[sent:], finish_reason=reason, prompt_tokens=len(prompt), completion_tokens=made)

    def _tokens(self, request: ChatRequest) -> list[int]:
        """Return the end of the conversation as tokens; half of the context is left for the answer."""
        text = "\n".join(f"{message.role}: {message.content}" for message in request.messages)
        known = [ord(letter) - 32 for letter in text if letter in CHARACTERS]
        return [END, *known[-CONTEXT // 2 :]]

    def _generated(self, prompt: list[int], request: ChatRequest, most: int) -> Iterator[int]:
        torch = self._torch
        temperature = 1.0 if request.temperature is None else request.temperature
        random = torch.Generator()
        if request.seed is None:
            random.seed()
        else:
            random.manual_seed(request.seed)
        unread, cache = torch.tensor([prompt]), None
        for _ in range(most):
            with torch.inference_mode():
                output: Any = self._model(unread, past_key_values=cache, use_cache=True)
            cache, scores = output.past_key_values, output.logits[0, -1]
            yield (token := self._chosen(scores, temperature, random))
            unread = torch.tensor([[token]])

    def _chosen(self, scores: Any, temperature: float, random: Any) -> int:
        if temperature == 0.0:
            return int(scores.argmax())
        return int(self._torch.multinomial(self._torch.softmax(scores / temperature, 0), 1, generator=random))
