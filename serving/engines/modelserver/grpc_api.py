"""TF Serving's gRPC API, plus gRPC's health check.

The synchronous server with few threads is the fastest here; grpc.aio reaches half its throughput.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from math import inf
from types import SimpleNamespace
from typing import Any

import grpc
from numpy.typing import NDArray

from serving.engines.modelserver.classify import classify, multi_infer, regress
from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.log import log
from serving.engines.modelserver.messages import (
    address_of,
    metadata_response,
    status_response,
)
from serving.engines.modelserver.one_message import MessageWatch
from serving.engines.modelserver.predict import fill_spec, predict
from serving.engines.modelserver.priority import at_normal_priority
from serving.engines.modelserver.protos import (
    MODEL,
    PREDICTION,
    ClassificationRequest,
    ClassificationResponse,
    GetModelMetadataRequest,
    GetModelStatusRequest,
    ModelSpec,
    MultiInferenceRequest,
    PredictRequest,
    PredictResponse,
    RegressionRequest,
    RegressionResponse,
    ReloadConfigRequest,
    ReloadConfigResponse,
)
from serving.engines.modelserver.saved_model import SavedModel
from serving.engines.modelserver.service import Service
from serving.engines.modelserver.tensor_proto import encode_into
from serving.engines.modelserver.workers import Workers
from streaming.contracts.errors import ConfigurationError

_SERVING = b"\x08\x01"  # HealthCheckResponse{status: SERVING}
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_OPTIONS = [
    ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share it
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", -1),
]

_MAX_TEXT = 1024
RELOAD_SECONDS = 60.0
"""How long a reload waits for models that are new."""

Answer = Callable[[Any, SavedModel, Any], None]
"""Fills a response from a model and a request."""
Call = Callable[[Any, float], Any]
"""Takes a request and the seconds that it may take."""


class Grpc:
    """The gRPC methods of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def predict(self, request: Any, seconds: float) -> Any:
        """``PredictionService.Predict``."""
        return self._measured("Predict", request, PredictResponse(), seconds, self._predict)

    def _predict(self, response: Any, model: SavedModel, request: Any) -> None:
        outputs = predict(model, request, self._service.compute)
        at_normal_priority(_fill_outputs, response, outputs)

    def classify(self, request: Any, seconds: float) -> Any:
        """``PredictionService.Classify``."""
        return self._measured(
            "Classify", request, ClassificationResponse(), seconds, self._classify
        )

    def _classify(self, response: Any, model: SavedModel, request: Any) -> None:
        result = classify(model, request, self._service.compute)
        at_normal_priority(response.result.CopyFrom, result)

    def regress(self, request: Any, seconds: float) -> Any:
        """``PredictionService.Regress``."""
        return self._measured("Regress", request, RegressionResponse(), seconds, self._regress)

    def _regress(self, response: Any, model: SavedModel, request: Any) -> None:
        result = regress(model, request, self._service.compute)
        at_normal_priority(response.result.CopyFrom, result)

    def multi_infer(self, request: Any, seconds: float) -> Any:
        """``PredictionService.MultiInference``; as in TF Serving, only its examples are counted."""
        spec = request.tasks[0].model_spec if request.tasks else ModelSpec()
        self._delay()
        with self._service.hold(address_of(spec), seconds=seconds) as (version, model):
            response, examples = multi_infer(model, request, self._service.compute)
            self._service.metrics.count_examples(spec.name, examples)
        for result in response.results:
            result.model_spec.version.value = version
        return response

    def _measured(
        self, api: str, request: Any, response: Any, seconds: float, answer: Answer
    ) -> Any:
        """The response that `answer` has filled; the request is counted."""
        started, code = time.perf_counter_ns(), Code.INTERNAL
        try:
            self._delay()
            if not request.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            address = address_of(request.model_spec)
            with self._service.hold(address, seconds=seconds) as (version, model):
                answer(response, model, request)
            code = Code.OK
        except Refused as refused:
            code = refused.code
            raise
        finally:
            name = request.model_spec.name
            self._service.count_request(
                model=name, started_ns=started, api=api, entrypoint="GRPC", code=code
            )
        fill_spec(response.model_spec, request.model_spec, version)
        return response

    def _delay(self) -> None:
        delay = self._service.faults.now().latency_ms
        if delay > 0:
            time.sleep(delay / 1000)

    def metadata(self, request: Any, seconds: float) -> Any:
        """``PredictionService.GetModelMetadata``; its only field is signature_def."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        with self._service.hold(address_of(request.model_spec)) as (version, model):
            return metadata_response(request.model_spec.name, version, model)

    def status(self, request: Any, seconds: float) -> Any:
        """``ModelService.GetModelStatus``."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        return status_response(self._service, address_of(request.model_spec))

    def reload(self, request: Any, seconds: float) -> Any:
        """``ModelService.HandleReloadConfigRequest``."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest."
                " Only ModelConfigList is currently supported"
            )
        self._service.models.reload(request.config, wait_seconds=min(seconds, RELOAD_SECONDS))
        return ReloadConfigResponse()


def serve(service: Service, address: str, *, workers: int) -> grpc.Server:
    """Open the port.

    Raises
    ------
    ConfigurationError
        When the address cannot be opened.
    """
    api, pool, watch = Grpc(service), Workers(workers, name="grpc"), MessageWatch()
    threads: Any = SimpleNamespace(submit=pool.start)  # grpc needs no more of an executor
    server = grpc.server(threads, options=_OPTIONS)
    server.add_generic_rpc_handlers(
        (
            _handlers(
                "grpc.health.v1.Health",
                Check=watch.handler(lambda request, context: _SERVING, read=bytes),
            ),
            _RoomCheck(pool),
            _handlers(
                PREDICTION,
                Predict=_method(watch, api.predict, PredictRequest),
                Classify=_method(watch, api.classify, ClassificationRequest),
                Regress=_method(watch, api.regress, RegressionRequest),
                MultiInference=_method(watch, api.multi_infer, MultiInferenceRequest),
                GetModelMetadata=_method(watch, api.metadata, GetModelMetadataRequest),
            ),
            _handlers(
                MODEL,
                GetModelStatus=_method(watch, api.status, GetModelStatusRequest),
                HandleReloadConfigRequest=_method(watch, api.reload, ReloadConfigRequest),
            ),
        )
    )
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConfigurationError(f"The address {address} cannot be opened: {error}.") from error
    if bound == 0:
        raise ConfigurationError(f"The address {address} is in use; choose another port.")
    server.start()
    return server


class _RoomCheck(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Refuses a call while too many others are slow, and leaves it to the next handler otherwise.

    grpc's only serving thread calls it, and ends for good when the executor refuses work.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The refusal, which does not wait for the message of the call, or None."""
        try:
            self._workers.check_room()
        except Refused as refused:
            code, text = _CODES[refused.code], refused.message
            return grpc.stream_unary_rpc_method_handler(
                lambda messages, context: context.abort(code, text)
            )
        return None


def _fill_outputs(response: Any, outputs: Mapping[str, NDArray[Any]]) -> None:
    for name, array in outputs.items():
        encode_into(response.outputs[name], array)


def _handlers(name: str, **methods: Any) -> Any:
    return grpc.method_handlers_generic_handler(name, methods)


def _method(watch: MessageWatch, call: Call, request: Any) -> Any:
    def handle(message: Any, context: grpc.ServicerContext) -> Any:
        remaining = context.time_remaining()
        try:
            response = call(message, inf if remaining is None else remaining)
            return at_normal_priority(response.SerializeToString)
        except Refused as refused:
            context.abort(_CODES[refused.code], _shortened(refused.message))
        except Exception as error:  # noqa: BLE001 - the client gets a code whatever went wrong
            log.error("request.failed", error=f"{type(error).__name__}: {error}")
            text = _shortened(f"{type(error).__name__}: {error}")
            context.abort(grpc.StatusCode.INTERNAL, text)

    return watch.handler(handle, read=request.FromString)


def _shortened(message: str) -> str:
    """An error text as ``ToGRPCStatus`` of ``grpc_status_util.cc`` shortens it."""
    content = message.encode("utf-8", "replace")
    if len(content) <= _MAX_TEXT:
        return content.decode()
    return content[:_MAX_TEXT].decode("utf-8", "ignore") + "...TRUNCATED"
