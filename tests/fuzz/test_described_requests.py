"""Requests made from our own OpenAPI document, right and wrong ones: the replica does what the document says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation, BaseSchema

from fuzz.fuzzed_functions import PLAIN_PATHS
from replica_process import ReplicaProcess

EXAMPLES = 15
JSON = {"Accept": "application/json"}
PROBES = ("/healthz", "/readyz", "/metrics", "/v1/stats")
CALLS = [(path, "POST") for path in PLAIN_PATHS]
OPERATIONS = [*CALLS, *((path, "GET") for path in PROBES)]


@pytest.fixture(scope="module")
def document(fuzzed: ReplicaProcess) -> BaseSchema:
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{fuzzed.port}/openapi.json")


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_right_requests_are_answered_as_described(
    document: BaseSchema, session: requests.Session, path: str, method: str
) -> None:
    _try(document[path][method], session, schemathesis.GenerationMode.POSITIVE)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method"), CALLS)
def test_wrong_requests_are_refused_as_described(
    document: BaseSchema, session: requests.Session, path: str, method: str
) -> None:
    _try(document[path][method], session, schemathesis.GenerationMode.NEGATIVE)


def _is_plain(case: schemathesis.Case[Any]) -> bool:
    """Whether the request is JSON, if it has a body: CloudEvents have rules that a schema cannot state."""
    return case.media_type in (None, JSON["Accept"]) and _has_no_integral_float(case.body)


def _has_no_integral_float(value: Any) -> bool:
    """JSON Schema calls 5.0 an integer; a handler that asks for an `int` gets none, it is refused with 422."""
    if isinstance(value, dict):
        return all(map(_has_no_integral_float, value.values()))
    if isinstance(value, list):
        return all(map(_has_no_integral_float, value))
    return not (isinstance(value, float) and value.is_integer())


def _try(
    operation: APIOperation[Any, Any, Any, Any], session: requests.Session, mode: schemathesis.GenerationMode
) -> None:
    cases = operation.as_strategy(generation_mode=mode).filter(_is_plain)

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def answers(case: schemathesis.Case[Any]) -> None:
        # Of a stream JSON is asked for: OpenAPI 3.1 has no words for the events of one.
        # 504 is a fair answer: among the time limits there are some that have passed when the request comes.
        case.call_and_validate(session=session, headers=JSON, excluded_checks=[not_a_server_error])

    answers()
