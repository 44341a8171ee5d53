"""TF Serving's gRPC API, plus gRPC's health check.

The synchronous server with few threads is the fastest here; grpc.aio reaches half its throughput.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.log import log
from serving.engines.modelserver.messages import (
    address_of,
    metadata_response,
    predict_spec,
    read_reload,
    status_response,
)
from serving.engines.modelserver.protos import (
    MODEL,
    PREDICTION,
    GetModelMetadataRequest,
    GetModelStatusRequest,
    PredictRequest,
    PredictResponse,
    ReloadConfigRequest,
    ReloadConfigResponse,
)
from serving.engines.modelserver.service import Service, check_filter, find_signature
from serving.engines.modelserver.tensor_proto import decode, encode
from streaming.contracts.errors import ConfigurationError

_SERVING = b"\x08\x01"  # HealthCheckResponse{status: SERVING}
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_OPTIONS = [
    ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share it
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]

Call = Callable[[Any], Any]


class Grpc:
    """The gRPC methods of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def predict(self, request: Any) -> Any:
        """``PredictionService.Predict``."""
        started, code = time.perf_counter_ns(), Code.OK
        try:
            delay = self._service.faults.now().latency_ms
            if delay > 0:
                time.sleep(delay / 1000)
            return self._predict(request)
        except Refused as refused:
            code = refused.code
            raise
        finally:
            self._service.count_request(
                started_ns=started, api="Predict", entrypoint="GRPC", code=code
            )

    def _predict(self, request: Any) -> Any:
        response = PredictResponse()
        with self._service.hold(address_of(request.model_spec)) as (version, model):
            signature = find_signature(model, request.model_spec.signature_name, rest=False)
            output_filter = tuple(request.output_filter)
            check_filter(signature, output_filter)
            inputs = {name: decode(name, proto) for name, proto in request.inputs.items()}
            outputs = self._service.run(model, signature, inputs, output_filter)
        for name, array in outputs.items():
            response.outputs[name].CopyFrom(encode(array))
        predict_spec(response.model_spec, request, version)
        return response

    def metadata(self, request: Any) -> Any:
        """``PredictionService.GetModelMetadata``; its only field is signature_def."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        with self._service.hold(address_of(request.model_spec)) as (version, model):
            return metadata_response(self._service.name, version, model)

    def status(self, request: Any) -> Any:
        """``ModelService.GetModelStatus``."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        return status_response(self._service, address_of(request.model_spec))

    def reload(self, request: Any) -> Any:
        """``ModelService.HandleReloadConfigRequest``: sets the policy, then the labels."""
        policy, labels = read_reload(request.config, self._service)
        log.info("reload.requested", specific=policy.specific, latest=policy.latest, labels=labels)
        self._service.versions.set_policy(policy)
        self._service.versions.set_labels(labels)
        return ReloadConfigResponse()


def serve(service: Service, address: str, *, workers: int) -> grpc.Server:
    """Open the port.

    Raises
    ------
    ConfigurationError
        When the address cannot be opened.
    """
    api = Grpc(service)
    server = grpc.server(ThreadPoolExecutor(workers, thread_name_prefix="grpc"), options=_OPTIONS)
    server.add_generic_rpc_handlers(
        (
            _handlers(
                PREDICTION,
                Predict=_unary(api.predict, PredictRequest),
                GetModelMetadata=_unary(api.metadata, GetModelMetadataRequest),
            ),
            _handlers(
                MODEL,
                GetModelStatus=_unary(api.status, GetModelStatusRequest),
                HandleReloadConfigRequest=_unary(api.reload, ReloadConfigRequest),
            ),
            _handlers(
                "grpc.health.v1.Health",
                Check=grpc.unary_unary_rpc_method_handler(lambda request, context: _SERVING),
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


def _handlers(name: str, **methods: Any) -> Any:
    return grpc.method_handlers_generic_handler(name, methods)


def _unary(call: Call, request: Any) -> Any:
    def handle(message: Any, context: grpc.ServicerContext) -> Any:
        try:
            return call(message)
        except Refused as refused:
            context.abort(_CODES[refused.code], refused.message)

    return grpc.unary_unary_rpc_method_handler(
        handle,
        request_deserializer=request.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
