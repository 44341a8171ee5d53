"""The gRPC API: the rules of TF Serving 2.19.1.

The files are in ``tensorflow_serving/servables/tensorflow`` and ``model_servers``.
"""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

from serving.engines.modelserver.classify import CLASSIFY, REGRESS
from serving.engines.modelserver.protos import (
    ClassificationRequest,
    GetModelMetadataRequest,
    GetModelStatusRequest,
    ModelSpec,
    MultiInferenceRequest,
    PredictRequest,
    RegressionRequest,
    SignatureDefMap,
    call,
)
from serving.engines.modelserver.tensor_proto import decode, encode
from tests.serving.engines.modelserver.arrays import floats, integers
from tests.serving.engines.modelserver.conformance.test_rest_http import _increase
from tests.serving.engines.modelserver.server_process import MODEL, Server

pytestmark = pytest.mark.engine


def _send(server: Server, method: str, request: Any) -> Any:
    with server.channel() as channel:
        return call(channel, method, request, timeout_seconds=30)


def _refusal(server: Server, method: str, request: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as refused:
        _send(server, method, request)
    return refused.value.code().name, str(refused.value.details())


def _predict(signature: str = "", **inputs: Any) -> Any:
    request = PredictRequest(model_spec=ModelSpec(name=MODEL, signature_name=signature))
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(encode(np.asarray(value)))
    return request


def _filled(request: Any, *values: float, context: float | None = None) -> Any:
    """A request with one example for each value; None is an example without features."""
    source = request.input
    if context is not None:
        feature = source.example_list_with_context.context.features.feature
        feature["x"].float_list.value.append(context)
    for value in values:
        target = source.example_list if context is None else source.example_list_with_context
        example = target.examples.add()
        if not np.isnan(value):
            example.features.feature["x"].float_list.value.append(value)
    return request


def _classification(signature: str, *values: float, **more: Any) -> Any:
    spec = ModelSpec(name=MODEL, signature_name=signature)
    return _filled(ClassificationRequest(model_spec=spec), *values, **more)


def _regression(signature: str, *values: float, **more: Any) -> Any:
    spec = ModelSpec(name=MODEL, signature_name=signature)
    return _filled(RegressionRequest(model_spec=spec), *values, **more)


def _tasks(*tasks: tuple[str, str], values: tuple[float, ...] = (0.25,), name: str = MODEL) -> Any:
    request = MultiInferenceRequest()
    for signature, method in tasks:
        spec = ModelSpec(name=name, signature_name=signature)
        request.tasks.add(model_spec=spec, method_name=method)
    return _filled(request, *values)


def test_predict_answers_with_the_spec_and_typed_fields(conforming: Server) -> None:
    """``predict_util.cc:95-96`` and ``175-180`` (AsProtoField); ``util.cc:261-275``."""
    response = _send(conforming, "Predict", _predict(x=floats(1, 2)))
    assert response.model_spec == ModelSpec(
        name=MODEL, signature_name="serving_default", version={"value": 1}
    )
    assert list(response.outputs["y"].float_val) == [2, 4]
    assert not response.outputs["y"].tensor_content


@pytest.mark.parametrize("name", ["int8", "uint8", "uint16", "float16", "complex64", "bool"])
def test_every_type_passes_through(conforming: Server, name: str) -> None:
    array = np.array([0, 1, 1], name)
    response = _send(conforming, "Predict", _predict(f"echo_{name}", x=array))
    np.testing.assert_array_equal(decode("y", response.outputs["y"]), array)
    assert not response.outputs["y"].tensor_content


def test_an_input_that_is_not_sent_has_the_default_of_the_signature(conforming: Server) -> None:
    """``predict_util.cc:51-73`` and ``GetInputValues``."""
    response = _send(conforming, "Predict", _predict("with_default", a=floats(1)))
    assert list(response.outputs["sum"].float_val) == [8]
    code, text = _refusal(conforming, "Predict", _predict("with_default", b=integers(1)))
    assert code == "INVALID_ARGUMENT"
    assert text.startswith("Signature input alias: a(feed name: ")
    assert text.endswith("to be in the request {b}, or default input alias set: b")


@pytest.mark.parametrize(
    ("rule", "request_", "code", "text"),
    [
        ("predict_impl.cc:37", PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (
            "server_core.cc:807",
            PredictRequest(model_spec=ModelSpec()),
            "INVALID_ARGUMENT",
            "ModelSpec has no name specified.",
        ),
        (
            "server_core.cc:854",
            PredictRequest(model_spec=ModelSpec(name=MODEL, version_label="x")),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: x",
        ),
        (
            "basic_manager.cc:136",
            PredictRequest(model_spec=ModelSpec(name="m")),
            "NOT_FOUND",
            "Servable not found for request: Latest(m)",
        ),
        (
            "predict_util.cc:90",
            _predict("no"),
            "FAILED_PRECONDITION",
            'Serving signature key "no" not found.',
        ),
        (
            "predict_util.cc:62-70",
            _predict("two", a=floats(1)),
            "INVALID_ARGUMENT",
            "input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}. "
            "Missing but required: {b}.",
        ),
        (
            "predict_util.cc:62-70",
            _predict(x=floats(1), y=floats(1)),
            "INVALID_ARGUMENT",
            "input size does not match signature: 2!=1 len({x,y}) != len({x}). Sent extra: {y}. "
            "Missing but required: {}.",
        ),
        (
            "FunctionCallFrame::SetArgs",
            _predict(x=integers(1)),
            "INVALID_ARGUMENT",
            "Expects arg[0] to be float but int64 is provided",
        ),
    ],
)
def test_predict_refuses(
    conforming: Server, rule: str, request_: Any, code: str, text: str
) -> None:
    assert _refusal(conforming, "Predict", request_) == (code, text)


def test_an_input_of_another_name_is_refused(conforming: Server) -> None:
    """``GetInputValues``: as many inputs as the signature has, but not its own."""
    code, text = _refusal(conforming, "Predict", _predict(z=floats(1)))
    assert code == "INVALID_ARGUMENT"
    assert text.startswith("Signature input alias: x(feed name: serving_default_x:0) not found in")


def test_tensors_are_parsed_before_the_output_filter(conforming: Server) -> None:
    """``predict_util.cc:126-153``."""
    request = _predict(x=floats(1))
    request.output_filter.extend(["y", "y"])
    text = "duplicate output tensor alias: y"
    assert _refusal(conforming, "Predict", request) == ("INVALID_ARGUMENT", text)
    request.output_filter[1] = "no"
    assert _refusal(conforming, "Predict", request) == (
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: no Outputs expected to be in the set {y}.",
    )
    request.inputs["x"].tensor_content = b"123"
    text = "tensor parsing error: x"
    assert _refusal(conforming, "Predict", request) == ("INVALID_ARGUMENT", text)


def test_classify_answers_with_labels_and_scores(conforming: Server) -> None:
    """``classifier.cc:309-322`` and ``341-343``."""
    response = _send(conforming, "Classify", _classification("classify", 0.25, 1.0))
    assert response.model_spec.signature_name == "classify"
    assert response.model_spec.version.value == 1
    rows = [
        [(entry.label, entry.score) for entry in item.classes]
        for item in response.result.classifications
    ]
    assert rows == [[("no", 0.75), ("yes", 0.25)], [("no", 0.0), ("yes", 1.0)]]


def test_regress_answers_with_numbers(conforming: Server) -> None:
    """``regressor.cc:262-265``; the context is before each example (``util.cc:183-203``)."""
    request = _regression("regress", np.nan, 1.0, context=2.5)
    response = _send(conforming, "Regress", request)
    assert [item.value for item in response.result.regressions] == [25.0, 10.0]
    assert response.model_spec.signature_name == "regress"


@pytest.mark.parametrize("method", ["Classify", "Regress"])
def test_examples_are_needed(conforming: Server, method: str) -> None:
    """``util.cc:165-168`` and ``classification_service.cc:35-39``."""
    kind = ClassificationRequest if method == "Classify" else RegressionRequest
    assert _refusal(conforming, method, kind()) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    request = kind(model_spec=ModelSpec(name=MODEL, signature_name=method.lower()))
    assert _refusal(conforming, method, request) == ("INVALID_ARGUMENT", "Input is empty.")
    request.input.example_list_with_context.context.SetInParent()
    assert _refusal(conforming, method, request) == ("INVALID_ARGUMENT", "Input is empty.")


def test_a_long_error_text_is_cut(conforming: Server) -> None:
    """``grpc_status_util.cc:25-32``: 1,024 characters."""
    code, text = _refusal(conforming, "Classify", _classification("x" * 2_000, 1.0))
    assert code == "INVALID_ARGUMENT"
    assert text == f"No signature was found with the name: {'x' * 986}...TRUNCATED"


def test_multi_inference_computes_all_tasks_at_once(conforming: Server) -> None:
    """``multi_inference.cc:89-126``."""
    tasks = _tasks(("regress", REGRESS), ("classify", CLASSIFY), values=(0.25, 1.0))
    response = _send(conforming, "MultiInference", tasks)
    first, second = response.results
    assert [item.value for item in first.regression_result.regressions] == [2.5, 10.0]
    assert second.classification_result.classifications[0].classes[1].score == 0.25
    assert [result.model_spec.signature_name for result in response.results] == [
        "regress",
        "classify",
    ]
    assert {result.model_spec.version.value for result in response.results} == {1}


@pytest.mark.parametrize(
    ("rule", "request_", "code", "text"),
    [
        (
            "server_core.cc:807",
            MultiInferenceRequest(),
            "INVALID_ARGUMENT",
            "ModelSpec has no name specified.",
        ),
        (
            "multi_inference.cc:59",
            _tasks(("regress", REGRESS), ("regress", REGRESS)),
            "INVALID_ARGUMENT",
            "Duplicate evaluation of signature: regress",
        ),
        (
            "multi_inference.cc:66",
            _tasks(("no", REGRESS)),
            "INVALID_ARGUMENT",
            "Requested signature not found in model graph: no",
        ),
        (
            "multi_inference.cc:80",
            _tasks(("regress", "tensorflow/serving/predict")),
            "UNIMPLEMENTED",
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        (
            "util.cc:166",
            _tasks(("regress", REGRESS), values=()),
            "INVALID_ARGUMENT",
            "Input is empty.",
        ),
        (
            "regressor.cc:183",
            _tasks(("classify", REGRESS)),
            "INVALID_ARGUMENT",
            "Expected one output Tensor.",
        ),
    ],
)
def test_multi_inference_refuses(
    conforming: Server, rule: str, request_: Any, code: str, text: str
) -> None:
    assert _refusal(conforming, "MultiInference", request_) == (code, text)


def test_the_tasks_of_a_request_are_of_one_model(conforming: Server) -> None:
    """``multi_inference.cc:43-53``."""
    request = _tasks(("regress", REGRESS), ("classify", CLASSIFY))
    request.tasks[1].model_spec.name = "m"
    assert _refusal(conforming, "MultiInference", request)[1] == (
        "All ModelSpecs in a MultiInferenceRequest must access the same model name."
    )
    request.tasks[1].model_spec.name = ""
    assert _refusal(conforming, "MultiInference", request)[1] == (
        "Found ModelSpec with an empty model name."
    )


def test_metadata_is_the_definition_of_every_signature(conforming: Server) -> None:
    """``get_model_metadata_impl.cc:53-63``."""
    request = GetModelMetadataRequest(
        model_spec=ModelSpec(name=MODEL), metadata_field=["signature_def"]
    )
    response = _send(conforming, "GetModelMetadata", request)
    signatures = SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["two"].inputs["b"].dtype == 9
    assert response.model_spec == ModelSpec(name=MODEL, version={"value": 1})


def test_metadata_refuses_other_fields(conforming: Server) -> None:
    """``get_model_metadata_impl.cc:33-46`` and ``74-78``."""
    request = GetModelMetadataRequest()
    method = "GetModelMetadata"
    assert _refusal(conforming, method, request) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    request.model_spec.name = "m"
    text = "GetModelMetadataRequest must specify at least one metadata_field"
    assert _refusal(conforming, method, request) == ("INVALID_ARGUMENT", text)
    request.metadata_field.extend(["signature_def", "x"])
    text = "Metadata field x is not supported"
    assert _refusal(conforming, method, request) == ("INVALID_ARGUMENT", text)
    del request.metadata_field[1]
    text = "Servable not found for request: Latest(m)"
    assert _refusal(conforming, method, request) == ("NOT_FOUND", text)


def test_status_is_by_version_or_of_all(conforming: Server) -> None:
    """``get_model_status_impl.cc:66-109``; a label is passed over."""
    request = GetModelStatusRequest(model_spec=ModelSpec(name=MODEL))
    for field in ({}, {"version": {"value": 1}}, {"version_label": "any"}):
        request = GetModelStatusRequest(model_spec=ModelSpec(name=MODEL, **field))
        (entry,) = _send(conforming, "GetModelStatus", request).model_version_status
        assert (entry.version, entry.state) == (1, 30)
    request = GetModelStatusRequest(model_spec=ModelSpec(name=MODEL, version={"value": 5}))
    text = f"Could not find version 5 of model {MODEL}"
    assert _refusal(conforming, "GetModelStatus", request) == ("NOT_FOUND", text)


def test_a_compressed_request_is_read(conforming: Server) -> None:
    """gRPC's own compression, which the server needs no option for."""
    with grpc.insecure_channel(
        f"127.0.0.1:{conforming.grpc_port}", compression=grpc.Compression.Gzip
    ) as channel:
        response = call(channel, "Predict", _predict(x=floats(3)), timeout_seconds=30)
    assert list(response.outputs["y"].float_val) == [6]


@pytest.mark.parametrize(
    ("method", "request_", "counted"),
    [
        ("Predict", _predict(x=floats(1)), {(MODEL, "OK"): 1}),
        ("Predict", _predict("no"), {(MODEL, "FAILED_PRECONDITION"): 1}),
        ("Classify", _classification("classify", 1.0), {(MODEL, "OK"): 1}),
        ("Regress", _regression("wide", 1.0), {(MODEL, "INVALID_ARGUMENT"): 1}),
        ("MultiInference", _tasks(("regress", REGRESS)), {}),
        ("GetModelStatus", GetModelStatusRequest(model_spec=ModelSpec(name=MODEL)), {}),
    ],
)
def test_a_request_is_counted_by_its_true_status(
    conforming: Server, method: str, request_: Any, counted: dict[tuple[str, ...], float]
) -> None:
    """``prediction_service_impl.cc:59``, ``99`` and ``128``; the others count nothing."""

    def send() -> None:
        if any("OK" in key for key in counted) or not counted:
            _send(conforming, method, request_)
        else:
            _refusal(conforming, method, request_)

    assert _increase(conforming, "request_count", send) == counted


def test_runs_and_examples_are_measured_by_api(conforming: Server) -> None:
    """``RecordRuntimeLatency`` of ``util.cc:352-355``, ``RecordRequestExampleCount`` of 129-132."""
    regression = _regression("regress", 1.0)
    increase = _increase(
        conforming, "runtime_latency_count", lambda: _send(conforming, "Regress", regression)
    )
    assert increase == {(MODEL, "Regress", "TF1"): 1}
    tasks = _tasks(("regress", REGRESS), values=(1.0, 2.0))
    increase = _increase(
        conforming,
        "request_example_count_total",
        lambda: _send(conforming, "MultiInference", tasks),
    )
    assert increase == {(MODEL,): 2}
