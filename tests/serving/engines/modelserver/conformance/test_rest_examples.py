"""Classify and regress over REST: the rules of TF Serving 2.19.1.

The lines are those of ``tensorflow_serving/util/json_tensor.cc``, or of the named file in
``servables/tensorflow``.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.serving.engines.modelserver.server_process import Server

pytestmark = pytest.mark.engine


def _post(server: Server, action: str, body: Any) -> httpx.Response:
    content = {"content": body} if isinstance(body, str) else {"json": body}
    return httpx.post(f"{server.url}:{action}", timeout=30, **content)


def _examples(signature: str, *values: Any, **more: Any) -> dict[str, Any]:
    return {"signature_name": signature, "examples": [{"x": value} for value in values], **more}


@pytest.mark.parametrize(
    ("lines", "signature", "text"),
    [
        ("1068-1101", "classify", '{"results": [[["no", 0.75], ["yes", 0.25]]]}'),
        ("classifier.cc:318 no labels", "scores", '{"results": [[["", 0.25]]]}'),
    ],
)
def test_a_classification_is_label_and_score(
    conforming: Server, lines: str, signature: str, text: str
) -> None:
    response = _post(conforming, "classify", _examples(signature, 0.25))
    assert (response.status_code, response.text) == (200, text)


@pytest.mark.parametrize(
    ("lines", "values", "text"),
    [
        ("1104-1127", [0.25, [1.5]], '{"results": [2.5, 15.0]}'),
        ("779 NaN", "NaN", '{"results": [NaN]}'),
        ("779 beyond the range of float", "1e39", '{"results": [Infinity]}'),
    ],
)
def test_a_regression_is_a_number(conforming: Server, lines: str, values: Any, text: str) -> None:
    body = (
        _examples("regress", *values)
        if isinstance(values, list)
        else (f'{{"signature_name": "regress", "examples": [{{"x": {values}}}]}}')
    )
    response = _post(conforming, "regress", body)
    assert (response.status_code, response.text) == (200, text)


def test_a_context_is_shared_by_the_examples(conforming: Server) -> None:
    """Lines 829-834, and ``util.cc:183-203``: an example's own feature counts."""
    body = {"signature_name": "regress", "context": {"x": 2.5}, "examples": [{}, {"x": 1.0}]}
    assert _post(conforming, "regress", body).json() == {"results": [25.0, 10.0]}


@pytest.mark.parametrize(
    ("lines", "example", "text"),
    [
        ("741", {"x": None}, "Feature: x has element with unexpected JSON type: Null"),
        ("753", {"x": {"a": 1}}, "Feature: x has element with unexpected JSON type: Object"),
        ("764", {"x": [[1]]}, "Feature: x has element with unexpected JSON type: Array"),
        ("746", {"x": [1.5, True]}, "Unexpected element type in feature: x expecting type: float"),
        ("757", {"x": [1, {"b64": "eA=="}]}, "element type in feature: x expecting type: int64"),
        ("768", {"x": [1, "a"]}, "Unexpected element type in feature: x expecting type: int64"),
        ("776", {"x": ["a", 1.5]}, "Unexpected element type in feature: x expecting type: bytes"),
        ("781", {"x": [1.5, 1]}, "Unexpected element type in feature: x expecting type: float"),
        ("785", {"x": 2**63}, "Feature: x has uint64_t element. Only int64_t is supported."),
        ("386", {"x": {"b64": "?"}}, "Unable to base64 decode"),
        ("799", 1, "Example must be JSON object but got JSON Number"),
        ("799", True, "Example must be JSON object but got JSON True"),
    ],
)
def test_an_example_is_refused(conforming: Server, lines: str, example: Any, text: str) -> None:
    for body in ({"examples": [example]}, {"context": example, "examples": [{}]}):
        response = _post(conforming, "classify", {"signature_name": "classify", **body})
        assert response.status_code == 400
        assert text in response.json()["error"]


@pytest.mark.parametrize(
    ("lines", "body", "text"),
    [
        ("475", "", "JSON Parse error: The document is empty"),
        ("499", [1], "JSON Value: [1] Is not object"),
        ("511", {"signature_name": 1}, "'signature_name' key must be a string value."),
        ("839", {}, "When method is classify, key 'examples' is expected and was not found"),
        ("844", {"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ("849", {"examples": []}, "'examples' value is an empty array"),
        ("classifier.cc:159", {"signature_name": "no"}, "'examples' is expected"),
    ],
)
def test_a_body_is_refused(conforming: Server, lines: str, body: Any, text: str) -> None:
    for action in ("classify", "regress"):
        response = _post(conforming, action, body)
        assert response.status_code == 400
        assert text in response.json()["error"]


@pytest.mark.parametrize(
    ("rule", "action", "signature", "text"),
    [
        ("classifier.cc:159", "classify", "no", "No signature was found with the name: no"),
        ("classifier.cc:185", "classify", "two", "Expected one input Tensor."),
        ("classifier.cc:195", "classify", "", "No classification inputs found in SignatureDef: "),
        (
            "classifier.cc:207",
            "classify",
            "regress",
            'at least one of "classes" or "scores". Signa',
        ),
        ("classifier.cc:258", "classify", "flat_scores", "[batch_size num_classes] but got [2]"),
        ("classifier.cc:281", "classify", "double_scores", "of DT_FLOAT. Got: DT_DOUBLE"),
        ("classifier.cc:286", "classify", "short_scores", "output batch size of 2. Got: 1"),
        ("classifier.cc:297", "classify", "unlike_scores", "dim_size(1). Got 2 vs. 1"),
        ("regressor.cc:154", "regress", "no", "No signature was found with the name: no"),
        ("regressor.cc:179", "regress", "two", "Expected one input Tensor."),
        ("regressor.cc:183", "regress", "classify", "Expected one output Tensor."),
        ("regressor.cc:188", "regress", "texts", "No regression inputs found in SignatureDef: "),
        ("regressor.cc:198", "regress", "other", "No regression outputs found in SignatureDef: "),
        ("regressor.cc:240", "regress", "wide", "[batch_size] or [batch_size, 1] but got [2,2]"),
        ("regressor.cc:246", "regress", "short", "did not match output batch size: 2 vs. 1"),
        ("regressor.cc:251", "regress", "whole", "Tensor of DT_FLOAT.  Got: DT_INT64"),
    ],
)
def test_another_form_of_signature_is_refused(
    conforming: Server, rule: str, action: str, signature: str, text: str
) -> None:
    response = _post(conforming, action, _examples(signature, 0.5, 0.5))
    assert response.status_code == 400
    assert text in response.json()["error"]


def test_a_method_name_is_not_checked(conforming: Server) -> None:
    """``server.h:102``: enable_signature_method_name_check is off; all of these are "predict"."""
    metadata = httpx.get(f"{conforming.url}/metadata").json()["metadata"]["signature_def"]
    definition = metadata["signature_def"]["classify"]
    assert definition["method_name"] == "tensorflow/serving/predict"
    assert _post(conforming, "classify", _examples("classify", 1.0)).status_code == 200
