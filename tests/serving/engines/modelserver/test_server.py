"""The whole server over real connections: its predictions are TensorFlow's own."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from serving.engines.modelserver.protos import (
    GetModelMetadataRequest,
    GetModelStatusRequest,
    PredictRequest,
    SignatureDefMap,
    call,
)
from serving.engines.modelserver.tensor_proto import decode, encode
from serving.engines.modelserver.tensors import strings
from tests.serving.engines.modelserver.server_process import MODEL, Server

pytestmark = pytest.mark.engine

Models = tuple[Path, dict[str, Any]]


def _instances(rows: list[Any]) -> dict[str, Any]:
    return {"instances": [{"fare": [f], "hour": [h], "payment": [p]} for f, h, p in rows]}


def _request(rows: list[Any], **spec: Any) -> Any:
    request = PredictRequest()
    request.model_spec.name = MODEL
    for key, value in spec.items():
        if key == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, key, value)
    fares, hours, payments = zip(*rows, strict=True)
    shape = (len(rows), 1)
    request.inputs["fare"].CopyFrom(encode(np.array(fares, np.float32).reshape(shape)))
    request.inputs["hour"].CopyFrom(encode(np.array(hours, np.int64).reshape(shape)))
    texts = strings([payment.encode() for payment in payments], shape)
    request.inputs["payment"].CopyFrom(encode(texts))
    return request


def _refusal(server: Server, request: Any, method: str = "Predict") -> tuple[str, str]:
    with server.channel() as channel, pytest.raises(grpc.RpcError) as refused:
        call(channel, method, request, timeout_seconds=5)
    return refused.value.code().name, str(refused.value.details())


@pytest.mark.parametrize("version", [1, 2])
def test_rest_predicts_what_tensorflow_predicts(
    server: Server, models: Models, version: int
) -> None:
    known = models[1]
    response = httpx.post(
        f"{server.url}/versions/{version}:predict", json=_instances(known["rows"])
    ).json()
    np.testing.assert_allclose(
        np.array(response["predictions"])[:, 0], known["expected"][str(version)], rtol=1e-5
    )
    columns = {
        key: [[row[i]] for row in known["rows"]]
        for i, key in enumerate(("fare", "hour", "payment"))
    }
    outputs = httpx.post(
        f"{server.url}/versions/{version}:predict", json={"inputs": columns}
    ).json()
    assert outputs["outputs"] == response["predictions"]


def test_grpc_predicts_what_tensorflow_predicts(server: Server, models: Models) -> None:
    known = models[1]
    with server.channel() as channel:
        of_version_1 = call(
            channel, "Predict", _request(known["rows"], version=1), timeout_seconds=5
        )
        newest = call(channel, "Predict", _request(known["rows"]), timeout_seconds=5)
    assert of_version_1.model_spec.version.value == 1
    assert newest.model_spec.version.value == 2
    assert of_version_1.model_spec.signature_name == "serving_default"
    assert of_version_1.outputs["probabilities"].float_val  # clients read the typed field
    for response, version in ((of_version_1, "1"), (newest, "2")):
        probabilities = decode("p", response.outputs["probabilities"])[:, 0]
        np.testing.assert_allclose(probabilities, known["expected"][version], rtol=1e-5)


def _example(fare: float, hour: int, payment: str) -> bytes:
    """A serialised tf.Example, built with the message class of TF Serving's own protos."""
    import tensorflow_serving.apis.input_pb2 as inputs

    example = inputs.ExampleList().examples.add()
    features = example.features.feature
    features["fare"].float_list.value.append(fare)
    features["hour"].int64_list.value.append(hour)
    features["payment"].bytes_list.value.append(payment.encode())
    return bytes(example.SerializeToString())


def test_serialised_examples_are_accepted_and_bytes_returned(
    server: Server, models: Models
) -> None:
    row, expected = models[1]["rows"][0], models[1]["expected"]["2"][0]
    body = {
        "signature_name": "serving_examples",
        "instances": [{"b64": base64.b64encode(_example(*row)).decode()}],
    }
    (response,) = httpx.post(f"{server.url}:predict", json=body).json()["predictions"]
    assert response["probabilities"] == pytest.approx([expected], rel=1e-5)
    assert response["payment_bytes"] == [{"b64": base64.b64encode(b"Cash").decode()}]


def test_only_the_requested_outputs_are_computed(server: Server, models: Models) -> None:
    request = PredictRequest(output_filter=["payment_bytes"])
    request.model_spec.name, request.model_spec.signature_name = MODEL, "serving_examples"
    texts = strings([_example(*models[1]["rows"][3])], (1,))
    request.inputs["examples"].CopyFrom(encode(texts))
    with server.channel() as channel:
        response = call(channel, "Predict", request, timeout_seconds=5)
    assert list(response.outputs) == ["payment_bytes"]
    assert decode("x", response.outputs["payment_bytes"]).tolist() == [[b"x" * 40]]
    request.output_filter.append("nope")
    assert _refusal(server, request)[0] == "INVALID_ARGUMENT"


def test_status_and_metadata_have_tf_servings_format(server: Server) -> None:
    status = httpx.get(server.url).json()["model_version_status"]
    ok = {"error_code": "OK", "error_message": ""}
    assert status == [
        {"version": "2", "state": "AVAILABLE", "status": ok},
        {"version": "1", "state": "AVAILABLE", "status": ok},
    ]
    metadata = httpx.get(f"{server.url}/metadata").json()
    assert metadata["model_spec"] == {"name": MODEL, "signature_name": "", "version": "2"}
    definition = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["inputs"]["payment"]["dtype"] == "DT_STRING"
    request = GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = MODEL
    with server.channel() as channel:
        response = call(channel, "GetModelMetadata", request, timeout_seconds=5)
    unpacked = SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(unpacked)
    assert unpacked.signature_def["serving_default"].inputs["fare"].dtype == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "text"),
    [
        ("GET", "/versions/7", None, 404, "Could not find version 7 of model big_tipper"),
        ("POST", "/versions/7:predict", {"instances": [1]}, 404, "Specific(big_tipper, 7)"),
        ("POST", "/labels/x:predict", {"instances": [1]}, 400, "version label: x"),
        ("POST", ":predict", {"instances": ["a"]}, 400, "instances is a plain list"),
        ("POST", ":predict", {"signature_name": "s", "inputs": [1]}, 400, 'name: "s" not found'),
        ("POST", ":classify", {"examples": []}, 400, "'examples' value is an empty array"),
        ("PUT", ":predict", None, 400, "Malformed request: PUT /v1/models/big_tipper:predict"),
        ("GET", "/nothing/here", None, 400, "Malformed request: GET"),
    ],
)
def test_rest_refuses_as_tf_serving_does(
    server: Server, method: str, path: str, body: Any, code: int, text: str
) -> None:
    response = httpx.request(method, server.url + path, json=body)
    assert response.status_code == code
    assert text in response.json()["error"]


def test_grpc_refuses_as_tf_serving_does(server: Server, models: Models) -> None:
    rows = models[1]["rows"]
    assert _refusal(server, _request(rows, version=9)) == (
        "NOT_FOUND",
        "Servable not found for request: Specific(big_tipper, 9)",
    )
    assert _refusal(server, _request(rows, name="other"))[0] == "NOT_FOUND"
    code, text = _refusal(server, _request(rows, signature_name="nope"))
    assert (code, text) == ("FAILED_PRECONDITION", 'Serving signature key "nope" not found.')
    short = _request(rows)
    del short.inputs["fare"]
    code, text = _refusal(server, short)
    assert code == "INVALID_ARGUMENT"
    assert text.startswith("input size does not match signature: 2!=3 len({hour,payment})")
    wrong = _request(rows)
    wrong.inputs["fare"].CopyFrom(encode(np.zeros((4, 1), np.int64)))
    assert _refusal(server, wrong)[0] == "INVALID_ARGUMENT"
    assert _refusal(server, GetModelStatusRequest(), "GetModelStatus") == (
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    )


def test_requests_are_counted_under_tf_servings_names(server: Server, models: Models) -> None:
    httpx.post(f"{server.url}:predict", json=_instances(models[1]["rows"])).raise_for_status()
    text = server.metrics
    name = ":tensorflow:serving:request_latency_count"
    assert f'{name}{{model_name="{MODEL}",API="predict",entrypoint="REST"}}' in text
    assert f':tensorflow:serving:request_count{{model_name="{MODEL}",status="OK"}}' in text
    assert "# TYPE :tensorflow:serving:runtime_latency histogram" in text


def test_a_large_body_is_accepted(server: Server, models: Models) -> None:
    rows = models[1]["rows"] * 10_000
    response = httpx.post(f"{server.url}:predict", json=_instances(rows), timeout=30)
    assert len(response.json()["predictions"]) == len(rows)


def test_the_health_service_answers(server: Server) -> None:
    with server.channel() as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check", bytes, bytes)
        assert check(b"", timeout=5) == b"\x08\x01"
