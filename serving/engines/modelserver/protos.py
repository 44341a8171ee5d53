"""TF Serving's messages without importing TensorFlow.

``tensorflow_serving.apis`` imports ``tensorflow.core…_pb2``, and Python would first run all of
``tensorflow/__init__.py`` (over ten seconds). Those files need only protobuf, so they are imported
under an empty placeholder for the parent package, which is removed afterwards. A later real
``import tensorflow`` in the same process works and shares the same message classes.

This module with `call` is all that a client of any TF Serving needs.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import grpc


@contextmanager
def _without_tensorflow() -> Iterator[None]:
    """Provide an empty ``tensorflow`` package on the real path during the imports."""
    if "tensorflow" in sys.modules:
        yield
        return
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("The package tensorflow is not installed; its protobuf files are needed.")
    placeholder = ModuleType("tensorflow")
    placeholder.__path__ = list(spec.submodule_search_locations)
    sys.modules["tensorflow"] = placeholder
    try:
        yield
    finally:
        if sys.modules.get("tensorflow") is placeholder:
            del sys.modules["tensorflow"]


with _without_tensorflow():
    from tensorflow.core.framework.tensor_pb2 import TensorProto
    from tensorflow.core.framework.types_pb2 import DataType
    from tensorflow.core.protobuf.meta_graph_pb2 import AssetFileDef, MetaGraphDef, SignatureDef
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel as SavedModelProto
    from tensorflow_serving.apis.classification_pb2 import (
        ClassificationRequest,
        ClassificationResponse,
        ClassificationResult,
    )
    from tensorflow_serving.apis.get_model_metadata_pb2 import (
        GetModelMetadataRequest,
        GetModelMetadataResponse,
        SignatureDefMap,
    )
    from tensorflow_serving.apis.get_model_status_pb2 import (
        GetModelStatusRequest,
        GetModelStatusResponse,
        ModelVersionStatus,
    )
    from tensorflow_serving.apis.inference_pb2 import (
        MultiInferenceRequest,
        MultiInferenceResponse,
    )
    from tensorflow_serving.apis.input_pb2 import Input
    from tensorflow_serving.apis.model_management_pb2 import (
        ReloadConfigRequest,
        ReloadConfigResponse,
    )
    from tensorflow_serving.apis.model_pb2 import ModelSpec
    from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
    from tensorflow_serving.apis.regression_pb2 import (
        RegressionRequest,
        RegressionResponse,
        RegressionResult,
    )
    from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"

_RESPONSES: dict[str, Any] = {
    f"/{PREDICTION}/Predict": PredictResponse,
    f"/{PREDICTION}/Classify": ClassificationResponse,
    f"/{PREDICTION}/Regress": RegressionResponse,
    f"/{PREDICTION}/MultiInference": MultiInferenceResponse,
    f"/{PREDICTION}/GetModelMetadata": GetModelMetadataResponse,
    f"/{MODEL}/GetModelStatus": GetModelStatusResponse,
    f"/{MODEL}/HandleReloadConfigRequest": ReloadConfigResponse,
}


def call(channel: grpc.Channel, method: str, request: Any, *, timeout_seconds: float) -> Any:
    """One unary gRPC call, without generated stubs.

    Parameters
    ----------
    channel:
        Open channel to a TF Serving or to this server.
    method:
        ``Predict``, ``Classify``, ``Regress``, ``MultiInference``, ``GetModelMetadata``,
        ``GetModelStatus`` or ``HandleReloadConfigRequest``.
    request:
        The request message of that method.

    Raises
    ------
    grpc.RpcError
        The error of the call; `code()` and `details()` are TF Serving's.
    """
    path = next(path for path in _RESPONSES if path.endswith(f"/{method}"))
    remote = channel.unary_unary(
        path,
        request_serializer=type(request).SerializeToString,
        response_deserializer=_RESPONSES[path].FromString,
    )
    return remote(request, timeout=timeout_seconds)


__all__ = [
    "MODEL",
    "PREDICTION",
    "AssetFileDef",
    "ClassificationRequest",
    "ClassificationResponse",
    "ClassificationResult",
    "DataType",
    "GetModelMetadataRequest",
    "GetModelMetadataResponse",
    "GetModelStatusRequest",
    "GetModelStatusResponse",
    "Input",
    "MetaGraphDef",
    "ModelConfig",
    "ModelServerConfig",
    "ModelSpec",
    "ModelVersionStatus",
    "MultiInferenceRequest",
    "MultiInferenceResponse",
    "PredictRequest",
    "PredictResponse",
    "PredictionLog",
    "RegressionRequest",
    "RegressionResponse",
    "RegressionResult",
    "ReloadConfigRequest",
    "ReloadConfigResponse",
    "SavedModelProto",
    "SignatureDef",
    "SignatureDefMap",
    "TensorProto",
    "call",
]
