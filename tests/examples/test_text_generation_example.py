"""The example that writes: random weights, real streaming, in plain events and as OpenAI's chat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dilu import testing

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "text_generation" / "app.py"
MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def write() -> Iterator[testing.Client]:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    with testing.client(EXAMPLE) as client:
        yield client


def asked(**more: Any) -> dict[str, Any]:
    return {"messages": MESSAGES, "max_tokens": 8, "seed": 1, **more}


def text_of(parts: list[Any]) -> str:
    return "".join(part if isinstance(part, str) else part["text"] for part in parts)


@pytest.mark.slow
def test_characters_come_one_by_one_and_the_end_says_why(write: testing.Client) -> None:
    *characters, last = list(write.stream(asked()))
    assert [len(character) for character in characters] == [1] * 8
    assert (last["finish_reason"], last["prompt_tokens"], last["completion_tokens"]) == ("length", 12, 8)


@pytest.mark.slow
def test_the_same_seed_writes_the_same_and_another_one_does_not(write: testing.Client) -> None:
    first, again, other = (text_of(write.call(asked(seed=seed))) for seed in (1, 1, 2))
    assert first == again != other
    coldest = [text_of(write.call(asked(seed=seed, temperature=0.0))) for seed in (1, 2)]
    assert coldest[0] == coldest[1]


@pytest.mark.slow
def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(write: testing.Client) -> None:
    whole = text_of(write.call(asked()))
    parts = write.call(asked(stop=[whole[3:6]]))
    assert text_of(parts) == whole[:3]
    assert parts[-1]["finish_reason"] == "stop"


def chat(write: testing.Client, **more: Any) -> testing.Answer:
    body = json.dumps({"model": "tiny-gpt2", **asked(**more)}).encode()
    return write.request("POST", "/v1/chat/completions", body, headers={"content-type": "application/json"})


@pytest.mark.slow
def test_openai_chat_says_the_same_streamed_and_not(write: testing.Client) -> None:
    whole = chat(write).json()
    assert whole["choices"][0]["message"]["content"] == text_of(write.call(asked()))
    assert whole["usage"] == {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20}
    streamed = chat(write, stream=True)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    events = [line.removeprefix("data: ") for line in streamed.body.decode().split("\n") if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in events[:-1]]
    assert "".join(chunks) == whole["choices"][0]["message"]["content"]
