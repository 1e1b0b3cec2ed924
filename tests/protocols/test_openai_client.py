"""OpenAI's own client against real replicas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from replica_process import ReplicaProcess, ServeFunction, wait_until

SOURCE = """
    from collections.abc import Iterator

    import dilu

    @dilu.function(batch=8, openai="embeddings")
    def embed(texts: list[str]) -> list[list[float]]:
        return [[float(len(text)), 0.5] for text in texts]

    @dilu.function(openai="chat")
    def chat(request: dilu.ChatRequest) -> Iterator[str]:
        if request.messages[-1].content == "fail at once":
            raise dilu.ItemError("no", status=422)
        yield f"{request.max_tokens}/{request.temperature} "
        if request.messages[-1].content == "fail later":
            raise dilu.ItemError("not any more")
        yield from (f"<{message.content}>" for message in request.messages)
        yield dilu.ChatResult(text="!", finish_reason="length", prompt_tokens=3, completion_tokens=4)
"""
WHOLE = """
    import dilu

    @dilu.function(name="whole", openai="chat")
    def whole(request: dilu.ChatRequest) -> str:
        return request.messages[-1].content.upper()
"""


@pytest.fixture(scope="module")
def replica(serve_shared: ServeFunction) -> ReplicaProcess:
    return serve_shared(SOURCE)


@pytest.fixture(scope="module")
def client(replica: ReplicaProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{replica.port}/v1", api_key="none", max_retries=0) as found:
        yield found


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["embed", "chat"]
    assert client.models.retrieve("chat").owned_by == "dilu"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_embeddings_come_in_order_at_the_clients_default_of_base64(client: openai.OpenAI) -> None:
    found = client.embeddings.create(model="embed", input=["a", "bcd"])
    assert [(one.index, one.embedding) for one in found.data] == [(0, [1.0, 0.5]), (1, [3.0, 0.5])]
    assert (found.model, found.usage.total_tokens) == ("embed", 0)
    plain = client.embeddings.create(model="embed", input="ab", encoding_format="float")
    assert plain.data[0].embedding == [2.0, 0.5]


def test_what_embeddings_cannot_do_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="tokens are not supported") as caught:
        client.embeddings.create(model="embed", input=[1, 2, 3])
    assert caught.value.param == "input"
    with pytest.raises(openai.BadRequestError, match="tokens are not supported"):
        client.embeddings.create(model="embed", input=[[1, 2], [3]])
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="embed", input="a", dimensions=8)
    assert caught.value.param == "dimensions"
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="embed", input=[])
    assert caught.value.param == "input"
    with pytest.raises(openai.NotFoundError, match="the model is 'embed'"):
        client.embeddings.create(model="text-embedding-3-small", input="a")


def test_a_streaming_handler_answers_a_client_that_wants_the_whole(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": "hi"}], max_tokens=5, temperature=0.5
    )
    assert found.choices[0].message.content == "5/0.5 <hi>!"
    assert found.choices[0].finish_reason == "length"
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.total_tokens) == (3, 4, 7)


def test_a_streaming_handler_answers_piece_by_piece(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="chat",
        messages=[{"role": "system", "content": "a"}, {"role": "user", "content": "b"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert [chunk.choices[0].delta.content for chunk in chunks if chunk.choices] == [
        "", "None/None ", "<a>", "<b>", "!", None,
    ]  # fmt: skip
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-2:] == [None, "length"]
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.total_tokens == 7
    assert len({chunk.id for chunk in chunks}) == 1


def test_an_error_before_the_first_piece_has_its_own_status(client: openai.OpenAI) -> None:
    for stream in (True, False):
        with pytest.raises(openai.UnprocessableEntityError, match="no"):
            client.chat.completions.create(
                model="chat", messages=[{"role": "user", "content": "fail at once"}], stream=stream
            )


def test_an_error_after_it_ends_the_stream_with_an_exception(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": "fail later"}], stream=True
    )
    seen = []
    with pytest.raises(openai.APIError, match="not any more"):
        seen += [chunk.choices[0].delta.content for chunk in stream]
    with pytest.raises(openai.APIStatusError, match="not any more"):
        client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "fail later"}])


def test_what_a_chat_cannot_do_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "a"}], n=2)
    assert (caught.value.param, caught.value.code) == ("n", "unsupported-value")
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="chat", messages=[])
    assert caught.value.param == "messages"
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "a"}])
    assert missing.value.code == "model_not_found"


def test_a_handler_that_returns_answers_both_kinds_of_clients(serve_function: ServeFunction) -> None:
    replica = serve_function(WHOLE)
    with openai.OpenAI(base_url=f"http://127.0.0.1:{replica.port}/v1", api_key="none", max_retries=0) as client:
        whole = client.chat.completions.create(model="whole", messages=[{"role": "user", "content": "hi"}])
        assert whole.choices[0].message.content == "HI"
        assert whole.choices[0].finish_reason == "stop"
        stream = client.chat.completions.create(
            model="whole", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "HI"


def test_a_handler_stops_when_its_reader_leaves(serve_function: ServeFunction, tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"
    replica = serve_function(
        f"""
        import time
        from collections.abc import Iterator
        from pathlib import Path

        import dilu

        @dilu.function(openai="chat")
        def endless(request: dilu.ChatRequest) -> Iterator[str]:
            try:
                while True:
                    yield "a"
                    time.sleep(0.005)
            finally:
                Path({str(stopped)!r}).touch()
        """
    )
    with openai.OpenAI(base_url=f"http://127.0.0.1:{replica.port}/v1", api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(
            model="endless", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        next(iter(stream))
        stream.close()
    wait_until(stopped.exists, "the handler is stopped")


def test_several_functions_of_one_kind_have_a_prefix_each(serve_function: ServeFunction) -> None:
    source = "import dilu\n" + "".join(
        f"@dilu.function(openai='embeddings')\ndef {name}(x: str) -> list[float]:\n    return [{number}]\n"
        for number, name in enumerate(("one", "two"))
    )
    replica = serve_function(source)
    for number, name in enumerate(("one", "two")):
        answer = replica.post({"model": name, "input": "a"}, f"/{name}/v1/embeddings")
        assert answer.json()["data"][0]["embedding"] == [number]
    assert replica.post({"model": "one", "input": "a"}, "/v1/embeddings").status == 404


def test_a_function_that_declares_nothing_has_no_such_route(serve_function: ServeFunction) -> None:
    replica = serve_function("import dilu\n@dilu.function\ndef f(x: str) -> str:\n    return x")
    for path in ("/v1/embeddings", "/v1/chat/completions", "/v1/models"):
        answer = replica.post({"model": "f", "input": "a"}, path)
        assert answer.status == 404
        assert json.loads(answer.body)["error"]["type"] == "invalid_request_error"
