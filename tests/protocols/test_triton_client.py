"""NVIDIA's own client, `tritonclient`, at its defaults against real replicas: binary tensors both ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from replica_process import ReplicaProcess, ServeFunction

SOURCE = """
    import dilu
    import numpy as np
    import numpy.typing as npt

    @dilu.function(batch=8)
    def scale(rows: list[npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
        return [row * 2 for row in rows]

    @dilu.function(batch=8)
    def upper(texts: list[str]) -> list[str]:
        return [text.upper() for text in texts]

    @dilu.function
    def halve(x: np.ndarray) -> np.ndarray:
        return x / 2 if x.dtype.kind == "f" else x // 2
"""


@pytest.fixture(scope="module")
def replica(serve_shared: ServeFunction) -> ReplicaProcess:
    return serve_shared(SOURCE)


@pytest.fixture
def client(replica: ReplicaProcess) -> Iterator[Any]:
    found = triton.InferenceServerClient(f"127.0.0.1:{replica.port}")
    yield found
    found.close()


def given(name: str, values: Any, datatype: str, *, binary: bool = True) -> Any:
    found = triton.InferInput(name, list(values.shape), datatype)
    found.set_data_from_numpy(values, binary_data=binary)
    return found


def test_the_client_sees_server_and_models(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("scale")
    assert client.is_model_ready("scale", "1")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["name"] == "dilu"
    assert client.get_model_metadata("upper")["inputs"] == [{"name": "input", "datatype": "BYTES", "shape": [-1]}]


@pytest.mark.parametrize("binary", [True, False])
def test_arrays_go_both_ways(client: Any, binary: bool) -> None:
    rows: Any = np.arange(6, dtype=np.float32).reshape(2, 3)
    outputs = None if binary else [triton.InferRequestedOutput("output", binary_data=False)]
    result = client.infer("scale", [given("input", rows, "FP32", binary=binary)], outputs=outputs, request_id="r7")
    found = result.as_numpy("output")
    assert found.dtype == np.float32
    assert (found == rows * 2).all()
    assert result.get_response()["id"] == "r7"


@pytest.mark.parametrize(
    "datatype", ["UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64"]
)
def test_every_datatype_of_numbers_goes_both_ways(client: Any, datatype: str) -> None:
    rows: Any = np.array([[2, 4], [6, 8]], dtype=triton_to_np_dtype(datatype))
    found = client.infer("halve", [given("input", rows, datatype)]).as_numpy("output")
    assert found.dtype == rows.dtype
    assert found.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("binary", [True, False])
def test_texts_go_both_ways(client: Any, binary: bool) -> None:
    texts = np.array(["a", "é"], dtype=object)
    found = client.infer("upper", [given("input", texts, "BYTES", binary=binary)]).as_numpy("output")
    assert [text.decode() for text in found] == ["A", "É"]


def test_scalars_with_a_dimension_of_one_are_taken_as_triton_has_them(client: Any) -> None:
    texts = np.array([["a"], ["b"]], dtype=object)
    assert client.infer("upper", [given("input", texts, "BYTES")]).as_numpy("output").tolist() == [b"A", b"B"]


def test_the_client_understands_errors(client: Any) -> None:
    texts = np.array(["a"], dtype=object)
    with pytest.raises(InferenceServerException, match="'text' is unknown; this function accepts 'input'") as caught:
        client.infer("upper", [given("text", texts, "BYTES")])
    assert caught.value.status() == "400"
    with pytest.raises(InferenceServerException, match="NaN or an infinity"):
        client.infer("scale", [given("input", np.array([[np.nan]], dtype=np.float32), "FP32")])
    with pytest.raises(InferenceServerException, match="no such path") as caught:
        client.infer("other", [given("input", texts, "BYTES")])
    assert caught.value.status() == "404"
