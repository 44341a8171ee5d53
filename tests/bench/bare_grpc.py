"""``python -m tests.bench.bare_grpc FOLDER``: grpc's own server with a model and nothing else.

No versions, metrics, limits, deadlines or error texts: what a prediction over gRPC costs in Python
on this machine at least. `tests.bench.modelserver` measures the model server beside it.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from serving.engines.modelserver.protos import PREDICTION, PredictRequest, PredictResponse
from serving.engines.modelserver.saved_model import DEFAULT_SIGNATURE, SavedModel

THREADS = 2
_FIELDS: dict[int, tuple[str, Any]] = {
    1: ("float_val", np.float32),
    7: ("string_val", object),
    9: ("int64_val", np.int64),
}


def main() -> None:
    """Serve until it is ended; prints the port."""
    model = SavedModel(Path(sys.argv[1]))
    signature = model.signatures[DEFAULT_SIGNATURE]
    fetches = list(signature.outputs.values())

    def predict(request: Any, context: grpc.ServicerContext) -> Any:
        feeds = [
            (spec, _array(spec.code, request.inputs[name]))
            for name, spec in signature.inputs.items()
        ]
        response = PredictResponse()
        for name, values in zip(signature.outputs, model.compute(feeds, fetches), strict=True):
            output = response.outputs[name]
            output.dtype = 1
            for size in values.shape:
                output.tensor_shape.dim.add(size=size)
            output.float_val.extend(values.ravel().tolist())
        return response

    handler = grpc.unary_unary_rpc_method_handler(
        predict,
        request_deserializer=PredictRequest.FromString,
        response_serializer=PredictResponse.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor(THREADS))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(PREDICTION, {"Predict": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


def _array(code: int, proto: Any) -> NDArray[Any]:
    field, dtype = _FIELDS[code]
    shape = [dim.size for dim in proto.tensor_shape.dim]
    return np.array(list(getattr(proto, field)), dtype=dtype).reshape(shape)


if __name__ == "__main__":
    main()
