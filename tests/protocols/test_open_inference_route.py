"""The Open Inference Protocol's routes of a real replica."""

from __future__ import annotations

import gzip
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from replica_process import ReplicaProcess, ServeFunction, wait_until

SOURCE = """
    from dataclasses import dataclass

    import dilu

    @dataclass
    class House:
        area: float
        rooms: int = 1

    @dilu.function(name="price", batch=8, queue_size=8)
    def price(houses: list[House]) -> list[float]:
        return [dilu.ItemError("too small") if h.area < 0 else h.area * h.rooms for h in houses]
"""


@pytest.fixture(scope="module")
def replica(serve_shared: ServeFunction) -> ReplicaProcess:
    return serve_shared(SOURCE)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def area(values: list[Any], **more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "area", "shape": [len(values)], "datatype": "FP32", "data": values}], **more}


def test_server_and_model_say_what_they_are(replica: ReplicaProcess) -> None:
    server = replica.request("GET", "/v2").json()
    assert (server["name"], server["extensions"]) == ("dilu", ["binary_tensor_data"])
    assert server["version"]
    for path in ("/v2/models/price", "/v2/models/price/versions/1"):
        assert replica.request("GET", path).json() == {
            "name": "price",
            "versions": ["1"],
            "platform": "dilu_python",
            "inputs": [
                {"name": "area", "datatype": "FP64", "shape": [-1]},
                {"name": "rooms", "datatype": "INT64", "shape": [-1]},
            ],
            "outputs": [{"name": "output", "datatype": "FP64", "shape": [-1]}],
        }


@pytest.mark.parametrize("path", ["health/live", "health/ready", "models/price/ready", "models/price/versions/1/ready"])
def test_probes_are_ok_once_the_model_is_loaded(replica: ReplicaProcess, path: str) -> None:
    answer = replica.request("GET", f"/v2/{path}")
    assert answer.status == 200
    assert answer.json()["live" if path.endswith("live") else "ready"] is True


def test_a_replica_that_loads_is_live_and_not_ready(serve_function: ServeFunction, tmp_path: Path) -> None:
    gate, port = tmp_path / "gate", free_port()
    replica = serve_function(
        f"""
        import time
        from pathlib import Path

        import dilu

        @dilu.function
        class Slow:
            def load(self) -> None:
                while not Path({str(gate)!r}).exists():
                    time.sleep(0.01)

            def predict(self, x: float) -> float:
                return x
        """,
        wait=False,
        PORT=str(port),
    )
    replica.port = port
    wait_until(lambda: is_listening(port), "the port listens", 30)
    assert replica.request("GET", "/v2/health/live").status == 200
    assert replica.request("GET", "/v2/models/slow").status == 200
    for path, answer in (
        ("/v2/health/ready", {"ready": False}),
        ("/v2/models/slow/ready", {"name": "slow", "ready": False}),
    ):
        found = replica.request("GET", path)
        assert (found.status, found.json()) == (503, answer)
    refused = replica.post({}, "/v2/models/slow/infer")
    assert (refused.status, refused.json()) == (503, {"error": "the model is loading"})
    gate.touch()
    replica.wait_until_ready()
    assert replica.request("GET", "/v2/health/ready").status == 200


def test_the_parts_of_a_stream_are_one_dimension_more(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        from collections.abc import Iterator

        import dilu

        @dilu.function
        def count(n: int) -> Iterator[int]:
            yield from range(n)
        """
    )
    body = {"inputs": [{"name": "input", "shape": [2], "datatype": "INT32", "data": [2, 2]}]}
    (output,) = replica.post(body, "/v2/models/count/infer").json()["outputs"]
    assert output == {"name": "output", "shape": [2, 2], "datatype": "INT64", "data": [0, 1, 0, 1]}


def test_rows_are_items_and_results_come_back_as_one_tensor(replica: ReplicaProcess) -> None:
    for path in ("/v2/models/price/infer", "/v2/models/price/versions/1/infer"):
        answer = replica.post(area([1.5, 2], id="a7", parameters={"priority": 1}), path)
        assert answer.status == 200
        assert answer.json() == {
            "model_name": "price",
            "model_version": "1",
            "id": "a7",
            "outputs": [{"name": "output", "shape": [2], "datatype": "FP64", "data": [1.5, 2.0]}],
        }


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({}, 400, "missing required field `inputs` (at $)"),
    (area([1], outputs=[{"name": "y"}]), 400, "this function has 'output' (at $.outputs[0].name)"),
    (
        area([1, "x"]),
        400,
        "input 'area' has values that are not FP32: Expected `float`, got `str` (at $.inputs[0].data[1])",
    ),
    (area([1.0, -1.0]), 422, "too small"),
    (area([1.0] * 9), 413, "9 items in one request, at most 8"),
    ({"inputs": [{"name": "z", "shape": [1], "datatype": "FP32", "data": [1]}]}, 400, "accepts 'area', 'rooms'"),
]


@pytest.mark.parametrize(("body", "status", "message"), BAD, ids=str)
def test_errors_have_the_protocols_form(replica: ReplicaProcess, body: Any, status: int, message: str) -> None:
    answer = replica.post(body, "/v2/models/price/infer")
    assert answer.status == status
    assert list(answer.json()) == ["error"]
    assert message in answer.json()["error"]


def test_a_refused_request_ran_nothing(replica: ReplicaProcess) -> None:
    before = replica.stats()["totals"]["completed"]
    replica.post(area([1], outputs=[{"name": "y"}]), "/v2/models/price/infer")
    replica.post(area(["x"]), "/v2/models/price/infer")
    assert replica.stats()["totals"]["completed"] == before


def test_a_compressed_body_is_refused_with_the_reason(replica: ReplicaProcess) -> None:
    body = gzip.compress(json.dumps(area([1])).encode())
    answer = replica.request("POST", "/v2/models/price/infer", body, {"Content-Encoding": "gzip"})
    assert answer.status == 415
    assert "send the body uncompressed" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/v2/models/other", "/v2/models/price/versions/2", "/v2/nonsense"])
def test_paths_that_there_are_not_answer_in_the_protocols_form(replica: ReplicaProcess, path: str) -> None:
    answer = replica.request("GET", path)
    assert answer.status == 404
    assert isinstance(answer.json()["error"], str)
