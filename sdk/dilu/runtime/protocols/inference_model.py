"""One function as a model of the Open Inference Protocol: its metadata and its inferences."""

from __future__ import annotations

from dilu.errors import RequestError
from dilu.handlers import FunctionDefinition
from dilu.runtime.calls.call import Call
from dilu.runtime.codec import encode_result
from dilu.runtime.protocols.inference_messages import InferRequest, parse_request, unknown_output, write_answer
from dilu.runtime.protocols.tensor_items import items_of
from dilu.runtime.protocols.tensor_results import outputs_of
from dilu.runtime.protocols.tensor_types import INPUT, OUTPUT, Signature, signature_of

_JSON_SIZE = b"inference-header-content-length"
_BINARY = b"application/octet-stream"


class InferenceModel:
    """One function as a model of the protocol."""

    def __init__(self, definition: FunctionDefinition, version: str) -> None:
        self.name = definition.spec.name
        self._version = version
        self._inputs = signature_of(definition.item_type, INPUT)
        # The parts of a stream add one dimension to the declared type.
        self._outputs = (
            Signature(form="any") if definition.is_streaming else signature_of(definition.result_type, OUTPUT)
        )

    async def answer_metadata(self, call: Call) -> None:
        """Answer with the tensors of the function's inputs and outputs."""
        metadata = {
            "name": self.name,
            "versions": [self._version],
            "platform": "dilu_python",
            "inputs": [tensor.metadata() for tensor in self._inputs.tensors],
            "outputs": [tensor.metadata() for tensor in self._outputs.tensors],
        }
        await call.answer(encode_result(metadata))

    async def answer_infer(self, call: Call) -> None:
        """Run the function on the rows of a request's tensors."""
        request = self._parsed(await call.body(), call)
        if request.tensors and request.tensors[0].shape:
            call.check_count(request.tensors[0].shape[0])
        items = items_of(request.tensors, self._inputs, call.decode)
        outputs = outputs_of(await call.run(items))
        answer = write_answer(request, outputs, self.name, self._version)
        if answer.json_size is None:
            await call.answer(answer.body)
        else:
            headers = [(_JSON_SIZE, b"%d" % answer.json_size)]
            await call.answer(answer.body, content_type=_BINARY, headers=headers)

    def _parsed(self, body: bytes, call: Call) -> InferRequest:
        try:
            request = parse_request(body, call.header(_JSON_SIZE))
        except RequestError:
            _check_encoding(call)
            raise
        if request.outputs is not None and self._outputs.form in ("value", "fields", "array"):
            known = [tensor.name for tensor in self._outputs.tensors]
            for index, output in enumerate(request.outputs):
                if known and output.name not in known:
                    raise unknown_output(output.name, index, known)
        return request


def _check_encoding(call: Call) -> None:
    """Raise `RequestError` (415) if the body could not be read because it is compressed."""
    encoding = call.header(b"content-encoding")
    if encoding is not None and encoding.lower() != b"identity":
        shown = encoding[:40].decode(errors="backslashreplace")
        message = f"Content-Encoding: {shown}: send the body uncompressed"
        raise RequestError(415, "unsupported-encoding", message, field="Content-Encoding")
