"""The types that an item may have: what is checked, what is not, and what a caller is told."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import logging
from typing import Annotated, Any, Literal, NamedTuple, TypedDict, Union

import msgspec
import pytest

import dilu
from dilu.runtime.codec import item_decoder
from replica_process import ReplicaProcess, ServeFunction, wait_until


@dataclasses.dataclass
class Tree:
    kids: list[Tree] = dataclasses.field(default_factory=list)


class Node(msgspec.Struct):
    name: str
    next: Node | None = None


class Typed(TypedDict):
    n: int


class Pair(NamedTuple):
    n: int
    text: str


class Color(enum.Enum):
    RED = "red"


class Unknown:
    pass


@dataclasses.dataclass
class Other:
    n: int


@dataclasses.dataclass
class Checked:
    """Refuses values with whatever error the test asks for."""

    fault: str = ""

    def __post_init__(self) -> None:
        if self.fault:
            raise FAULTS[self.fault]


class NoTextError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


FAULTS: dict[str, BaseException] = {
    "assert": AssertionError("n must be positive"),
    "key": KeyError("weights"),
    "value": ValueError("first line\nsecond line"),
    "type": TypeError("odd"),
    "empty": ValueError(),
    "exit": SystemExit(3),
    "deep": RecursionError("too deep"),
    "surrogate": AssertionError("\ud800"),
    "long": AssertionError("x" * 10_000),
    "no text": NoTextError(),
}

ACCEPTED: list[tuple[Any, bytes, Any]] = [
    (int, b"3", 3),
    (Any, b'{"a": [1]}', {"a": [1]}),
    (object, b"[1]", [1]),
    (dict[str, object], b'{"a": [1]}', {"a": [1]}),
    (int | None, b"null", None),
    (Tree, b'{"kids": [{"kids": []}]}', Tree([Tree()])),
    (Node, b'{"name": "a", "next": {"name": "b"}}', Node("a", Node("b"))),
    (Typed, b'{"n": 1}', {"n": 1}),
    (Pair, b'[1, "a"]', Pair(1, "a")),
    (Color, b'"red"', Color.RED),
    (Literal["a", None], b'"a"', "a"),
    (datetime.date, b'"2026-11-24"', datetime.date(2026, 11, 24)),
    (Annotated[int, msgspec.Meta(ge=0)], b"0", 0),
    (Annotated[list[int], "words"], b"[1]", [1]),
]

REFUSED: list[tuple[Any, bytes, str, str, str]] = [
    (int, b'"a"', "invalid-type", "$", "Expected `int`, got `str`"),
    (int, b"true", "invalid-type", "$", "Expected `int`, got `bool`"),
    (dict[str, object], b"[1]", "invalid-type", "$", "Expected `object`, got `array`"),
    (Tree, b'{"kids": [{"kids": [1]}]}', "invalid-type", "$.kids[0].kids[0]", "Expected `object`, got `int`"),
    (list[Tree], b'[{"kids": 1}]', "invalid-type", "$[0].kids", "Expected `array`, got `int`"),
    (Node, b'{"name": "a", "next": {}}', "invalid-type", "$.next", "missing required field `name`"),
    (Typed, b'{"n": "a"}', "invalid-type", "$.n", "Expected `int`"),
    (Color, b'"blue"', "invalid-type", "$", "Invalid enum value 'blue'"),
    (dict[int, str], b'{"a": "b"}', "invalid-type", "$", "Expected `int`, got `str`"),
    (Annotated[int, msgspec.Meta(ge=0)], b"-1", "invalid-type", "$", "Expected `int` >= 0"),
    (Checked, b'{"fault": "assert"}', "invalid-value", "$", "AssertionError: n must be positive"),
    (Checked, b'{"fault": "key"}', "invalid-value", "$", "KeyError: 'weights'"),
    (Checked, b'{"fault": "value"}', "invalid-value", "$", "ValueError: first line"),
    (list[Checked], b'[{}, {"fault": "value"}]', "invalid-value", "$[1]", "ValueError: first line"),
    (Checked, b'{"fault": "type"}', "invalid-value", "$", "TypeError: odd"),
    (Checked, b'{"fault": "empty"}', "invalid-value", "$", "ValueError"),
    (Checked, b'{"fault": "exit"}', "invalid-value", "$", "SystemExit: 3"),
    (Checked, b'{"fault": "deep"}', "invalid-value", "$", "RecursionError: too deep"),
    (Checked, b'{"fault": "surrogate"}', "invalid-value", "$", "AssertionError: \\ud800"),
    (Checked, b'{"fault": "no text"}', "invalid-value", "$", "NoTextError"),
]


@pytest.mark.parametrize(("item_type", "body", "item"), ACCEPTED, ids=str)
def test_json_of_the_type_becomes_an_item(
    item_type: Any, body: bytes, item: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert item_decoder(item_type)(body) == item
    assert caplog.records == []


@pytest.mark.parametrize(("item_type", "body", "code", "field", "message"), REFUSED, ids=lambda value: str(value)[:30])
def test_what_the_type_refuses_is_the_callers_fault(
    item_type: Any, body: bytes, code: str, field: str, message: str
) -> None:
    with pytest.raises(dilu.RequestError) as caught:
        item_decoder(item_type)(body)
    assert (caught.value.status, caught.value.code, caught.value.field) == (422, code, field)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_text_of_an_error_is_cut_to_a_bearable_length() -> None:
    with pytest.raises(dilu.RequestError) as caught:
        item_decoder(Checked)(b'{"fault": "long"}')
    assert len(str(caught.value)) < 600


def test_ctrl_c_is_not_taken_for_a_bad_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAULTS, "interrupt", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        item_decoder(Checked)(b'{"fault": "interrupt"}')


def test_a_type_may_answer_with_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAULTS, "own", dilu.RequestError(409, "busy", "come back"))
    with pytest.raises(dilu.RequestError, match="come back") as caught:
        item_decoder(Checked)(b'{"fault": "own"}')
    assert caught.value.status == 409


def test_syntax_goes_before_type() -> None:
    with pytest.raises(dilu.RequestError) as caught:
        item_decoder(Tree)(b'{"kids": 1')
    assert (caught.value.status, caught.value.code) == (400, "invalid-json")


@pytest.mark.parametrize(
    ("item_type", "reason"),
    [
        (Unknown, "JSON cannot represent Unknown"),
        (dict[str, Unknown], "JSON cannot represent Unknown"),
        (Union[Tree, Other], "more than one dataclass"),  # noqa: UP007  # the older spelling is used as well
        (list[int] | tuple[int, ...], "more than one array-like"),
        (complex, "JSON cannot represent complex"),
        (5, "TypeError"),
    ],
    ids=str,
)
def test_what_json_cannot_state_is_not_checked_and_said_once(
    item_type: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        decode = item_decoder(item_type)
        assert [decode(b'{"a": 1}'), decode(b"2")] == [{"a": 1}, 2]
    (record,) = caplog.records
    assert "are not checked" in record.getMessage()
    assert reason in record.getMessage()


# -- through a real replica

MODELS = """
    import dilu
    import pydantic

    class Word(pydantic.BaseModel):
        text: str
        weight: float = pydantic.Field(default=1.0, ge=0)

        @pydantic.field_validator("text")
        @classmethod
        def not_empty(cls, text):
            if not text:
                raise ValueError("say something")
            return text

    class Query(pydantic.BaseModel):
        words: list[Word]

    @dilu.function(batch=4)
    def f(queries: list[{item}]):
        return [{result} for q in queries]
"""
BAD_MODELS = [
    ({"words": [{"text": 5}]}, "$.words[0].text", "Input should be a valid string"),
    ({"words": [{"text": "a"}, {"text": "b", "weight": -1}]}, "$.words[1].weight", "greater than or equal to 0"),
    ({"words": [{"text": ""}]}, "$.words[0].text", "Value error, say something"),
    ({}, "$.words", "Field required"),
    (3, "$", "valid dictionary"),
]


def refusal(replica: ReplicaProcess, item: Any) -> tuple[int, str, str, str]:
    answer = replica.post(item)
    error = answer.json()["error"]
    return answer.status, error["code"], error["field"], error["message"]


def test_pydantic_models_are_made_and_their_faults_named(serve_function: ServeFunction) -> None:
    pytest.importorskip("pydantic")
    replica = serve_function(MODELS.format(item="Query", result="[type(q).__name__, q.words[0].weight, q]"))
    made = {"words": [{"text": "a", "weight": 1.0}]}
    assert replica.post({"words": [{"text": "a"}]}).json() == ["Query", 1.0, made]
    for item, field, message in BAD_MODELS:
        status, code, named, said = refusal(replica, item)
        assert (status, code, named) == (422, "invalid-value", field)
        assert message in said


def test_pydantic_models_inside_other_types_are_made(serve_function: ServeFunction) -> None:
    pytest.importorskip("pydantic")
    replica = serve_function(
        MODELS.format(item="dict[str, list[Word | None]]", result="[w and w.text for w in q['a']]")
    )
    assert replica.post({"a": [{"text": "x"}, None]}).json() == ["x", None]
    assert refusal(replica, {"a": [None, {"text": ""}]})[:3] == (422, "invalid-value", "$[...][1].text")
    assert refusal(replica, {"a": 3})[:3] == (422, "invalid-type", "$[...]")


def test_recursive_types_serve_and_their_own_checks_are_422(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        import dataclasses, sys
        from typing import Annotated
        import dilu, msgspec

        @dataclasses.dataclass
        class Tree:
            kids: "list[Tree]"
            size: Annotated[int, msgspec.Meta(ge=0)] = 0

            def __post_init__(self):
                assert self.size != 7, "not seven"
                if self.size == 8: sys.exit(1)

        @dilu.function
        def count(tree: Tree) -> "NotDefinedAnywhere":
            return 1 + sum(count(kid) for kid in tree.kids)
        """
    )
    assert replica.post({"kids": [{"kids": []}, {"kids": []}]}).json() == 3
    assert refusal(replica, {"kids": [{"kids": [1]}]}) == (
        422,
        "invalid-type",
        "$.kids[0].kids[0]",
        "Expected `object`, got `int`",
    )
    assert refusal(replica, {"kids": [], "size": -1})[:3] == (422, "invalid-type", "$.size")
    assert refusal(replica, {"kids": [], "size": 7}) == (422, "invalid-value", "$", "AssertionError: not seven")
    assert refusal(replica, {"kids": [], "size": 8}) == (422, "invalid-value", "$", "SystemExit: 1")
    assert replica.post({"kids": []}).json() == 1


def test_a_union_that_cannot_be_checked_serves_with_one_warning(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        import dataclasses, dilu

        @dataclasses.dataclass
        class A: a: int

        @dataclasses.dataclass
        class B: b: int

        @dilu.function
        def f(item: A | B): return item
        """
    )
    assert replica.post({"a": "anything"}).json() == {"a": "anything"}
    assert replica.post(3).json() == 3
    wait_until(lambda: replica.log().count("are not checked") == 1, "it is said once")


def test_results_that_do_not_iterate_by_item_fail_their_batch_alone(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        import dilu

        class Frame(list):
            columns = ("a", "b")
            iloc = None

        @dilu.function(batch=4)
        class Shapes:
            def load(self):
                self.predict = self.compiled

            def predict(self, items): return ["eager"] * len(items)

            def compiled(self, items):
                shapes = {"set": set(items), "rows": (i for i in items), "frame": Frame(items)}
                return shapes.get(items[0], ["compiled"] * len(items))
        """
    )
    for shape in ("set", "rows", "frame"):
        answer = replica.post(shape)
        assert answer.status == 500
        assert "HandlerContractError" in answer.json()["error"]["message"]
    assert replica.post("fine").json() == "compiled"
    wait_until(lambda: '.to_dict("records")' in replica.log(), "the log says how to mend it")
