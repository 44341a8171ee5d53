"""Paths, methods, headers and metrics of the REST API: the rules of TF Serving 2.19.1.

The files are in ``tensorflow_serving/model_servers``: ``util`` is ``http_rest_api_util.cc``,
``handler`` is ``http_rest_api_handler.cc``, ``server`` is ``http_server.cc``; ``evhttp`` is
``util/net_http/server/internal/evhttp_request.cc``.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.engines.modelserver.server_process import MODEL, Server, start, stop

pytestmark = pytest.mark.engine

BODY = b'{"instances": [1]}'


def _request(server: Server, method: str, path: str, **more: Any) -> httpx.Response:
    """A request with the path exactly as given."""
    url = httpx.URL(f"http://127.0.0.1:{server.rest_port}", raw_path=path.encode())
    return httpx.request(method, url, timeout=30, **more)


@pytest.mark.parametrize(
    ("rule", "method", "path", "status", "text"),
    [
        ("util:32", "POST", "/v1/models/big_tipper:predict", 200, "predictions"),
        ("util:32", "POST", "/v1/models/big_tipper/versions/1:predict", 200, "predictions"),
        ("util:32", "POST", "/v1/models/big_tipper/versions/001:predict", 200, "predictions"),
        ("util:32 (?i)", "POST", "/V1/Models/big_tipper/VERSIONS/1:predict", 200, "predictions"),
        ("handler:93", "POST", "/v1/models/big_tipper:PREDICT", 400, "Malformed request: POST /v1"),
        ("util:69-87", "POST", "/v1/models/big%5ftipper:predict", 200, "predictions"),
        ("util:34", "GET", "/v1/models/big_tipper", 200, "AVAILABLE"),
        ("util:34", "GET", "/v1/models/big_tipper/versions/1", 200, "AVAILABLE"),
        ("util:34", "GET", "/v1/models/big_tipper/metadata", 200, "echo_uint64"),
        ("util:34", "GET", "/v1/models/big_tipper/versions/1/metadata", 200, "echo_uint64"),
        ("handler:98", "GET", "/v1/models/big_tipper/METADATA", 200, "AVAILABLE"),
        ("get_model_status_impl.cc:94-106", "GET", "/v1/models/big_tipper/labels/x", 200, "AVAIL"),
        (
            "get_model_status_impl.cc:89",
            "GET",
            "/v1/models/big_tipper/versions/7",
            404,
            "Could not",
        ),
        (
            "get_model_status_impl.cc:89",
            "GET",
            "/v1/models/m/versions/7",
            404,
            "version 7 of model m",
        ),
        ("get_model_status_impl.cc:99", "GET", "/v1/models/m", 404, "find any versions of model m"),
        ("handler:187", "GET", "/v1/models", 400, "Missing model name in request."),
        ("handler:187", "GET", "/v1/models/versions/1", 400, "Missing model name in request."),
        ("handler:209", "GET", "/v1/models/metadata", 404, "Could not find any versions of model"),
        (
            "util:118",
            "POST",
            f"/v1/models/m/versions/{2**63}:predict",
            400,
            "Failed to convert vers",
        ),
        ("util:118", "GET", f"/v1/models/m/versions/{'9' * 30}", 400, "to numeric."),
        (
            "handler:74",
            "POST",
            "/v1/models/big_tipper",
            400,
            "Malformed request: POST /v1/models/b",
        ),
        (
            "handler:74",
            "GET",
            "/v1/models/big_tipper:predict",
            400,
            "Malformed request: GET /v1/mode",
        ),
        (
            "handler:74",
            "PUT",
            "/v1/models/big_tipper:predict",
            400,
            "Malformed request: PUT /v1/mode",
        ),
        (
            "handler:74",
            "DELETE",
            "/v1/models/big_tipper",
            400,
            "Malformed request: DELETE /v1/model",
        ),
        (
            "handler:74",
            "PATCH",
            "/v1/models/big_tipper",
            400,
            "Malformed request: PATCH /v1/models",
        ),
        ("handler:74", "GET", "/v1/nothing", 400, "Malformed request: GET /v1/nothing"),
        (
            "handler:74",
            "POST",
            "/v1/models/big_tipper/versions/x:predict",
            400,
            "Malformed request:",
        ),
        ("handler:74", "POST", "/v1/models/big_tipper:predict?a=1", 400, "predict?a=1"),
        ("evhttp:136-138", "GET", "/v1/models/big_tipper?a=1", 404, "of model big_tipper?a=1"),
        ("server_core.cc:855", "POST", "/v1/models/big_tipper/labels/x:predict", 400, "label: x"),
        ("server_core.cc:855", "POST", "/v1/models/m/labels/x:predict", 400, "version label: x"),
        ("manager.h:250", "POST", "/v1/models/m:predict", 404, "for request: Latest(m)"),
        ("manager.h:250", "POST", "/v1/models/m/versions/2:predict", 404, "Specific(m, 2)"),
        ("manager.h:250", "GET", "/v1/models/m/metadata", 404, "for request: Latest(m)"),
        ("server:141 evhttp_server.cc:176", "GET", "/v2/models", 404, "Not found: GET /v2/models"),
        ("server:141 evhttp_server.cc:176", "GET", "/", 404, "Not found: GET /"),
    ],
)
def test_a_path_is_answered(
    conforming: Server, rule: str, method: str, path: str, status: int, text: str
) -> None:
    response = _request(conforming, method, path, content=BODY)
    assert (response.status_code, text in response.text) == (status, True), response.text
    assert response.headers["content-type"] == "application/json"
    assert ("error" in response.json()) == (status != 200)


def test_a_body_is_read_before_the_model_is_looked_up(conforming: Server) -> None:
    """``json_tensor.cc:661-666``: a body that is no JSON is told first, missing values last."""
    for body, status, text in (
        (b"{", 400, "JSON Parse error"),
        (b"[]", 400, "Is not object"),
        (b'{"signature_name": 1}', 400, "must be a string value"),
        (b"{}", 404, "Servable not found for request: Latest(m)"),
    ):
        response = _request(conforming, "POST", "/v1/models/m:predict", content=body)
        assert (response.status_code, text in response.text) == (status, True)


def test_metadata_has_no_type_of_its_message(conforming: Server) -> None:
    """util:147-201: the packed message is written by itself."""
    metadata = httpx.get(f"{conforming.url}/metadata").json()
    assert set(metadata) == {"model_spec", "metadata"}
    assert metadata["model_spec"] == {"name": MODEL, "signature_name": "", "version": "1"}
    assert set(metadata["metadata"]) == {"signature_def"}
    assert set(metadata["metadata"]["signature_def"]) == {"signature_def"}
    assert "@type" not in json.dumps(metadata)
    definition = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["method_name"] == "tensorflow/serving/predict"
    assert definition["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert definition["inputs"]["x"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }


def test_the_status_has_text_for_numbers_and_names_for_states(conforming: Server) -> None:
    """util:133-145 and ``get_model_status_impl.cc:54-62``."""
    assert httpx.get(conforming.url).json() == {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }


@pytest.mark.parametrize(
    ("encoding", "content", "status", "text"),
    [
        ("gzip", gzip.compress(BODY, mtime=0), 200, "predictions"),
        ("x-gzip", gzip.compress(BODY, mtime=0), 200, "predictions"),
        ("deflate, gzip", gzip.compress(BODY, mtime=0), 200, "predictions"),
        ("gzip", BODY, 400, "The document is empty"),
        ("gzip", gzip.compress(BODY, mtime=0)[:-3], 400, "The document is empty"),
        ("gzip", gzip.compress(BODY, mtime=0) + b"more", 400, "The document is empty"),
        ("deflate", zlib.compress(BODY), 400, "JSON Parse error"),
        ("br", BODY, 200, "predictions"),
        ("identity", BODY, 200, "predictions"),
    ],
)
def test_only_gzip_is_unpacked(
    conforming: Server, encoding: str, content: bytes, status: int, text: str
) -> None:
    """evhttp:262-290; a body that cannot be unpacked is an empty one (evhttp:252-259)."""
    headers = {"Content-Encoding": encoding}
    response = httpx.post(f"{conforming.url}:predict", content=content, headers=headers)
    assert (response.status_code, text in response.text) == (status, True), response.text


def test_a_body_that_unpacks_to_too_much_is_refused(conforming: Server) -> None:
    """Ours: 64 MiB; TF Serving unpacks up to 100 MiB (``gzip_zlib.h:100``)."""
    bomb = gzip.compress(b" " * (65 << 20))
    assert len(bomb) < 100_000
    headers = {"Content-Encoding": "gzip"}
    response = httpx.post(f"{conforming.url}:predict", content=bomb, headers=headers)
    assert (response.status_code, "error" in response.json()) == (413, True)


def test_a_response_is_not_packed(conforming: Server) -> None:
    """evhttp:370-375: the response is sent as it is, whatever the client accepts."""
    headers = {"Accept-Encoding": "gzip"}
    response = httpx.post(f"{conforming.url}:predict", content=BODY, headers=headers)
    assert "content-encoding" not in response.headers
    assert response.json() == {"predictions": [2.0]}


def test_a_preflight_needs_an_origin(conforming: Server) -> None:
    """server:170-177, on any path of the API; without the flag no CORS header (server:183)."""
    for origin in ("https://a.example", "http://a.example"):
        response = _request(conforming, "OPTIONS", "/v1/any", headers={"Origin": origin})
        assert (response.status_code, response.content) == (200, b"")
        assert "access-control-allow-origin" not in response.headers
    for headers in ({}, {"Origin": "null"}):
        response = _request(conforming, "OPTIONS", "/v1/any", headers=headers)
        assert response.status_code == 400
        assert response.json() == {"error": "Origin header is missing in CORS preflight"}


@pytest.fixture(scope="module")
def with_cors(models: tuple[Path, dict[str, Any]]) -> Iterator[Server]:
    flags = ("--versions", "1", "--rest-api-enable-cors-support")
    running = start(models[0] / "conformance", *flags)
    yield running
    stop(running)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("OPTIONS", "/v1/models/big_tipper:predict", 200),
        ("POST", "/v1/models/big_tipper:predict", 200),
        ("GET", "/v1/models/big_tipper", 200),
        ("GET", "/v1/models/m", 404),
    ],
)
def test_cors_headers_are_sent_with_the_flag(
    with_cors: Server, method: str, path: str, status: int
) -> None:
    """util:40-44 and server:183-192: on every response, refusals included."""
    headers = {"Origin": "https://a.example"}
    response = _request(with_cors, method, path, headers=headers, content=BODY)
    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["access-control-allow-methods"] == "POST, GET"
    assert response.headers["access-control-allow-headers"] == "Content-Type"


def _counts(server: Server, metric: str) -> dict[tuple[str, ...], float]:
    """The values of a metric by its labels' values."""
    lines = re.findall(rf"^:tensorflow:serving:{metric}{{(.*)}} (.*)$", server.metrics, re.M)
    return {tuple(re.findall(r'"([^"]*)"', labels)): float(value) for labels, value in lines}


def _increase(server: Server, metric: str, send: Any) -> dict[tuple[str, ...], float]:
    before = _counts(server, metric)
    send()
    after = _counts(server, metric)
    return {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key)}


@pytest.mark.parametrize(
    ("method", "path", "content", "name", "status"),
    [
        ("POST", "/v1/models/big_tipper:predict", BODY, MODEL, "OK"),
        ("POST", "/v1/models/big_tipper:predict", b"{", MODEL, "INVALID_ARGUMENT"),
        ("POST", "/v1/models/unknown:predict", BODY, "unknown", "NOT_FOUND"),
        ("GET", "/v1/models/big_tipper", b"", MODEL, "OK"),
        ("GET", "/v1/models/big_tipper/versions/8", b"", MODEL, "NOT_FOUND"),
        ("PUT", "/v1/models/big_tipper", b"", "", "INVALID_ARGUMENT"),
        ("OPTIONS", "/v1/any", b"", "", "FAILED_PRECONDITION"),
    ],
)
def test_a_request_is_counted_by_its_true_status(
    conforming: Server, method: str, path: str, content: bytes, name: str, status: str
) -> None:
    """server:201 and ``util.cc:117-123``: every request of the API, under the name in its path."""
    increase = _increase(
        conforming, "request_count", lambda: _request(conforming, method, path, content=content)
    )
    assert increase == {(name, status): 1}


def test_an_unimplemented_conversion_is_counted_as_such(conforming: Server) -> None:
    body = b'{"signature_name": "echo_uint16", "inputs": [1]}'
    path = f"/v1/models/{MODEL}:predict"
    increase = _increase(
        conforming, "request_count", lambda: _request(conforming, "POST", path, content=body)
    )
    assert increase == {(MODEL, "UNIMPLEMENTED"): 1}


def test_only_answers_have_a_latency(conforming: Server) -> None:
    """server:194-200, with the method of the path in lower case."""
    paths = {"predict": b'{"instances": [1]}', "regress": b"", "classify": b""}
    for action, body in paths.items():
        content = body or json.dumps({"signature_name": action, "examples": [{"x": 1.0}]}).encode()
        path = f"/v1/models/{MODEL}:{action}"

        def send(path: str = path, content: bytes = content) -> None:
            assert _request(conforming, "POST", path, content=content).status_code == 200
            assert _request(conforming, "POST", path, content=b"{").status_code == 400

        increase = _increase(conforming, "request_latency_count", send)
        assert increase == {(MODEL, action, "REST"): 1}


def test_names_that_are_not_served_do_not_fill_the_memory(conforming: Server) -> None:
    """Ours: 100 names; TF Serving keeps every one."""
    for number in range(150):
        _request(conforming, "GET", f"/v1/models/unknown_{number}")
    names = {name for name, _ in _counts(conforming, "request_count")}
    assert len(names) <= 102
    assert "other" in names
