"""Our KPA and Knative's own, on the same random lives: every number of every evaluation is the same, bit for bit.

    DILU_TEST_KNATIVE=1 python -m pytest tests/differential                         builds the peer; 100,000 evaluations
    DILU_TEST_KNATIVE=1 DILU_TEST_KNATIVE_SEED=7 python -m pytest tests/differential    other ones
    DILU_TEST_KNATIVE=record python -m pytest tests/differential                    writes the recorded answers again

Without Go, ours are still compared with the answers that Knative gave once, in `knative_answers.jsonl`.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from differential.knative_cases import Case, random_case
from differential.knative_peer import built_peer, peers_answers
from differential.our_answers import Answer, answer

RECORDED = Path(__file__).parent / "knative_answers.jsonl"
ASKED = os.environ.get("DILU_TEST_KNATIVE", "")
SEED = int(os.environ.get("DILU_TEST_KNATIVE_SEED", "2"))
BATCHES, CASES_OF_A_BATCH, EVALUATIONS_OF_A_CASE = 10, 235, 40
only_where_go_is = pytest.mark.skipif(not ASKED, reason="DILU_TEST_KNATIVE=1 asks for it; it builds with Go")


def differences(case: Case, theirs: Answer) -> list[dict[str, Any]]:
    """Each evaluation, and each spec as it was understood, that is not the same: (ours, theirs) by key."""
    ours = answer(case)
    pairs = [
        (f"{part}[{number}]", mine, their)
        for part in ("specs", "evaluations")
        for number, (mine, their) in enumerate(zip(ours[part], theirs[part], strict=True))
    ]
    return [
        {"at": at} | {key: (mine[key], their[key]) for key in their if mine[key] != their[key]}
        for at, mine, their in pairs
        if mine != their
    ]


def test_ours_equal_the_answers_that_knative_gave_once() -> None:
    lines = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    assert sum(len(line["answer"]["evaluations"]) for line in lines) > 250
    for number, line in enumerate(lines, start=1):
        assert differences(line["case"], line["answer"]) == [], f"line {number}"


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_peer(tmp_path_factory.mktemp("peer"))


@only_where_go_is
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_random_evaluations_equal_knatives(peer: Path, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    evaluations = with_result = panicking = 0
    for _ in range(BATCHES):
        cases = [random_case(rng, evaluations=EVALUATIONS_OF_A_CASE) for _ in range(CASES_OF_A_BATCH)]
        for case, theirs in zip(cases, peers_answers(peer, tmp_path, cases), strict=True):
            assert differences(case, theirs) == [], json.dumps(case)
            evaluations += len(theirs["evaluations"])
            with_result += sum(one["valid"] for one in theirs["evaluations"])
            panicking += sum(one["panicking"] for one in theirs["evaluations"])
    print(f"{evaluations} evaluations, {with_result} with a result, {panicking} in panic, all equal")
    assert evaluations >= 100_000
    assert evaluations / 10 < with_result < evaluations
    assert evaluations / 10 < panicking < evaluations


@only_where_go_is
@pytest.mark.timeout(1800)
def test_every_length_of_a_weighted_window_weighs_as_knatives(peer: Path, tmp_path: Path) -> None:
    cases = [weighted_case(seconds) for seconds in [*range(1, 130), 599, 3170, 3333, 3600]]
    for case, theirs in zip(cases, peers_answers(peer, tmp_path, cases), strict=True):
        assert differences(case, theirs) == []


def weighted_case(seconds: int) -> Case:
    """A third in each of the first seconds, then silence until the window has passed."""
    annotations = {"window": f"{seconds}s", "metric-aggregation-algorithm": "weighted-exponential", "target": "0.01"}
    spec = {"config": {}, "annotations": annotations, "container_concurrency": 0, "reachable": True}
    load = {"do": "record", "concurrency": 1 / 3, "proxied": 0.0, "count": 7.1, "proxied_count": 0.0}
    records = [{**load, "t_us": second * 1_000_000, "at_us": second * 1_000_000} for second in range(5)]
    later = [4, 5, 6, 4 + seconds // 2, 3 + seconds, 4 + seconds, 5 + seconds]
    scales = [{"do": "scale", "t_us": second * 1_000_000} for second in sorted(later)]
    return {"t_us": 0, "ready": 0, "spec": spec, "steps": [*records, *scales]}


@pytest.mark.skipif(ASKED != "record", reason="DILU_TEST_KNATIVE=record asks for it")
@pytest.mark.timeout(1800)
def test_the_answers_are_recorded_again(peer: Path, tmp_path: Path) -> None:
    rng = random.Random(7)
    cases = [random_case(rng, evaluations=12) for _ in range(24)]
    answers = peers_answers(peer, tmp_path, cases)
    lines = [
        json.dumps({"case": case, "answer": theirs}, separators=(",", ":"))
        for case, theirs in zip(cases, answers, strict=True)
    ]
    RECORDED.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
