"""The items and results of a handler that declares `openai="chat"`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One message of the conversation."""

    role: str  # system | developer | user | assistant | tool | function
    content: str  # parts of text are joined; "" if there is no text
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """The item of a chat handler. `None` and `()` leave the choice to the function.

    @dilu.function(openai="chat")
    class Chat:
        def predict(self, request: dilu.ChatRequest) -> Iterator[str]:
            for token in self.model.generate(request.messages, request.max_tokens or 256):
                yield token
    """

    messages: list[ChatMessage]
    model: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()  # texts that end the answer; the handler has to watch for them
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatResult:
    """An answer with more than its text. A handler that streams may yield one as its last value.

    `text` is then the last piece. Clients see token counts that the handler does not set as 0.
    """

    text: str = ""
    finish_reason: str = "stop"  # stop | length | content_filter
    prompt_tokens: int = 0
    completion_tokens: int = 0
