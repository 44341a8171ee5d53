"""Predict over REST: the rules of ``util/json_tensor.cc`` of TF Serving 2.19.1.

Each case names the lines of its rule in that file.
"""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import pytest

from tests.serving.engines.modelserver.server_process import Server

pytestmark = pytest.mark.engine

INF = math.inf
LONG = ", ".join(map(str, range(200)))


def _predict(server: Server, body: str | bytes, signature: str = "") -> httpx.Response:
    content = body.encode() if isinstance(body, str) else body
    if signature:
        content = content.replace(b"{", b'{"signature_name": "%s", ' % signature.encode(), 1)
    return httpx.post(f"{server.url}:predict", content=content, timeout=30)


@pytest.mark.parametrize(
    ("lines", "signature", "inputs", "outputs"),
    [
        ("294-296", "echo_float32", "[1, 2.5, -3e2]", [1.0, 2.5, -300.0]),
        ("295 GetFloat is silent", "echo_float32", "[16777217, 0.1]", [16777216.0, 0.1]),
        ("295 beyond the range", "echo_float32", "[1e39, -1e39, 1e-50]", [INF, -INF, 0.0]),
        ("295 uint64 to float", "echo_float32", "[18446744073709551615]", [1.8446744e19]),
        ("298-301", "echo_float64", "[1, 16777217, 1e39]", [1.0, 16777217.0, 1e39]),
        ("300 int64 to double", "echo_float64", "[9007199254740993]", [9007199254740992.0]),
        ("303-309", "echo_int32", "[2147483647, -2147483648, -0]", [2**31 - 1, -(2**31), 0]),
        ("304-308 cut off", "echo_int16", "[32767, 32768, 65537]", [32767, -32768, 1]),
        ("305-308 cut off", "echo_int8", "[127, 128, -129]", [127, -128, 127]),
        ("306-308 cut off", "echo_uint8", "[255, 256, -1]", [255, 0, 255]),
        ("316-319", "echo_int64", "[9223372036854775807]", [2**63 - 1]),
        ("316-319 smallest", "echo_int64", "[-9223372036854775808]", [-(2**63)]),
        ("321-324", "echo_bool", "[true, false]", [True, False]),
        ("326-329", "echo_uint32", "[4294967295]", [2**32 - 1]),
        ("331-334", "echo_uint64", "[18446744073709551615]", [2**64 - 1]),
        ("311-314", "echo_string", '["a", "\\u00e9", ""]', ["a", "é", ""]),
        ("364-388 b64", "echo_string", '[{"b64": "YWI="}, "c"]', ["ab", "c"]),
        ("383 b64 without padding", "echo_string", '[{"b64": "YQ"}]', ["a"]),
        ("349-356 scalar", "echo_float32", "3", 3.0),
        ("349-356 scalar bool", "echo_bool", "true", True),
        ("349-356 scalar text", "echo_string", '"a"', "a"),
        ("617 scalar b64", "echo_string", '{"b64": "YQ=="}', "a"),
        ("351-355 nested", "echo_int64", "[[[1], [2]], [[3], [4]]]", [[[1], [2]], [[3], [4]]]),
        ("351-355 empty", "echo_float32", "[]", []),
        ("351-355 empty rows", "echo_float32", "[[], []]", [[], []]),
        ("484 NaN and Inf", "echo_float32", "[Inf, -Infinity, Infinity]", [INF, -INF, INF]),
    ],
)
def test_a_value_is_converted(
    conforming: Server, lines: str, signature: str, inputs: str, outputs: Any
) -> None:
    response = _predict(conforming, f'{{"inputs": {inputs}}}', signature)
    assert response.status_code == 200, response.text
    assert response.json() == {"outputs": outputs}


def test_not_a_number_is_read_and_written_as_a_bare_word(conforming: Server) -> None:
    """Lines 163-167 and 484."""
    response = _predict(conforming, '{"instances": [NaN, -NaN, 0.2, 1e10]}', "echo_float32")
    assert response.text == '{"predictions": [NaN, NaN, 0.2, 1e+10]}'


@pytest.mark.parametrize(
    ("lines", "body", "values"),
    [
        ("580-582 rows", '{"instances": [1, 2]}', {"predictions": [2, 4]}),
        ("591-604 the batch is the first size", '{"instances": [3]}', {"predictions": [6]}),
        ("624-629 columns", '{"inputs": [1, 2]}', {"outputs": [2, 4]}),
        ("630-647 named column", '{"inputs": {"x": [1], "y": 0}}', {"outputs": [2]}),
        ("551-573 named rows", '{"instances": [{"x": 1}]}', {"predictions": [2]}),
        ("485 bytes behind the document", '{"instances": [1]} and more', {"predictions": [2]}),
        ("481 byte order mark", '\ufeff{"instances": [1]}', {"predictions": [2]}),
        ("508-515 no signature", '{"signature_name": "", "inputs": [1]}', {"outputs": [2]}),
        ("1040 no rows", '{"inputs": []}', {"outputs": []}),
    ],
)
def test_a_body_is_accepted(conforming: Server, lines: str, body: str, values: Any) -> None:
    response = _predict(conforming, body)
    assert (response.status_code, response.json()) == (200, values)


def test_several_outputs_have_names_and_bytes_are_base64(conforming: Server) -> None:
    """Lines 1006-1021, 1034-1044 and 883-916: the suffix ``_bytes``."""
    rows = '{"instances": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}'
    assert _predict(conforming, rows, "two").json() == {
        "predictions": [
            {"sum": 3.0, "b_bytes": {"b64": "Mg=="}},
            {"sum": 7.0, "b_bytes": {"b64": "NA=="}},
        ]
    }
    columns = '{"inputs": {"a": [1], "b": [2]}}'
    assert _predict(conforming, columns, "two").json() == {
        "outputs": {"sum": [3.0], "b_bytes": [{"b64": "Mg=="}]}
    }


@pytest.mark.parametrize(
    ("lines", "signature", "inputs", "text"),
    [
        ("294", "echo_float32", "[true]", "JSON Value: true Type: True"),
        ("294 beside numbers", "echo_float32", "[1.5, true]", "JSON Value: true Type: True"),
        ("294 beside integers", "echo_float32", "[1, false]", "JSON Value: false Type: False"),
        ("294", "echo_float32", '["1"]', 'JSON Value: "1" Type: String'),
        ("299", "echo_float64", "[null]", "JSON Value: null Type: Null"),
        ("307", "echo_int32", "[1.0]", "JSON Value: 1.0 Type: Number"),
        ("307", "echo_int32", "[2147483648]", "JSON Value: 2147483648 Type: Number"),
        ("307", "echo_int8", "[2147483648]", "JSON Value: 2147483648 Type: Number"),
        ("307", "echo_uint8", "[true]", "JSON Value: true Type: True"),
        ("312", "echo_string", "[1]", "JSON Value: 1 Type: Number"),
        ("317", "echo_int64", "[9223372036854775808]", "JSON Value: 9223372036854775808 Type: "),
        ("317", "echo_int64", "[1, true]", "JSON Value: true Type: True"),
        ("317", "echo_int64", "[NaN]", "JSON Value:  Type: Number"),
        ("322", "echo_bool", "[1]", "JSON Value: 1 Type: Number"),
        ("322", "echo_bool", "[true, 0]", "JSON Value: 0 Type: Number"),
        ("327", "echo_uint32", "[-1]", "JSON Value: -1 Type: Number"),
        ("327", "echo_uint32", "[4294967296]", "JSON Value: 4294967296 Type: Number"),
        ("332", "echo_uint64", "[-1]", "JSON Value: -1 Type: Number"),
        ("408", "echo_int64", '[{"b64": "eA=="}]', '"b64": "eA=="\n} Type: Object'),
    ],
)
def test_another_type_is_refused(
    conforming: Server, lines: str, signature: str, inputs: str, text: str
) -> None:
    name = {"float32": "float", "float64": "double"}.get(signature[5:], signature[5:])
    for body in (f'{{"inputs": {inputs}}}', f'{{"instances": {inputs}}}'):
        response = _predict(conforming, body, signature)
        error = response.json()["error"]
        assert response.status_code == 400
        assert text in error
        assert error.endswith(f"is not of expected type: {name}")


@pytest.mark.parametrize("name", ["uint16", "float16", "complex64"])
def test_a_type_without_json_form_is_unimplemented(conforming: Server, name: str) -> None:
    """Lines 336-339 for ``inputs``; an error of a row is always INVALID_ARGUMENT (line 585)."""
    shown = {"float16": "half"}.get(name, name)
    text = f"Conversion of JSON Value: 1 to type: {shown}"
    response = _predict(conforming, '{"inputs": [1]}', f"echo_{name}")
    assert (response.status_code, response.json()["error"]) == (501, text)
    response = _predict(conforming, '{"instances": [1]}', f"echo_{name}")
    assert response.status_code == 400
    assert response.json()["error"] == (
        f"Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: {text}"
    )


ROW = "Failed to process element: "
REFUSED = [
    ("475", "", "", "JSON Parse error: The document is empty"),
    ("488", "", "  ", "JSON Parse error: The document is empty. at offset: 2"),
    ("488", "", "{", "JSON Parse error: Missing a name for object member. at offset: 1"),
    ("488", "", '{"a" 1}', "JSON Parse error: Missing a colon after a name of object member. at "),
    ("488", "", '{"a": 1', "JSON Parse error: Missing a comma or '}' after an object member. at "),
    ("488", "", "[1 2]", "JSON Parse error: Missing a comma or ']' after an array element. at "),
    ("488", "", '{"inputs": nul}', "JSON Parse error: Invalid value. at offset: 14"),
    ("488", "", "[1e400]", "JSON Parse error: Number too big to be stored in double. at offset: 1"),
    ("488", "", '["\\ud800"]', "JSON Parse error: The surrogate pair in string is invalid. at "),
    (
        "488",
        "",
        '["a',
        "JSON Parse error: Missing a closing quotation mark in string. at offset: 3",
    ),
    ("499", "", "[1, 2]", "JSON Value: [1, 2] Is not object"),
    ("499", "", f"[{LONG}]", "JSON Value: [0, 1, 2, 3, "),
    ("511", "", '{"signature_name": 1}', "'signature_name' key must be a string value."),
    (
        "679",
        "",
        '{"instances": [1], "inputs": [1]}',
        "only one of 'inputs' or 'instances' keys to ",
    ),
    ("684", "", '{"instances": 1}', "Expecting 'instances' to be an list/array"),
    ("688", "", '{"instances": []}', "No values in 'instances' array"),
    ("704", "", "{}", "Missing 'inputs' or 'instances' key"),
    (
        "527",
        "two",
        '{"instances": [1]}',
        "instances is a plain list, but expecting list of objects",
    ),
    ("553", "", '{"instances": [{"x": 1}, 2]}', "Expecting object but got list at item 1 of input"),
    ("576", "", '{"instances": [1, {"x": 1}]}', "Expecting value/list but got object at item 1 of"),
    ("449", "", '{"instances": [{"y": 1}]}', f"{ROW}0 key: y of 'instances' list. Error: INVALID_"),
    ("569", "two", '{"instances": [{"a": 1}]}', "keys must be equal to: a,b"),
    ("463", "echo_float32", '{"instances": [[1], [1, 2]]}', "Expecting tensor size: 1 but got: 2"),
    ("466", "echo_float32", '{"instances": [[[1, 2]], [[1], [2]]]}', "Expecting shape [1,2] but "),
    ("619", "two", '{"inputs": [1]}', "inputs is a plain value/list, but expecting an object as "),
    ("635", "two", '{"inputs": {"a": [1]}}', "Missing named input: b in 'inputs' object."),
    ("399", "echo_int64", '{"inputs": [[1], 2]}', "JSON Value: 2 found at incorrect level: 2 in "),
    ("418", "echo_int64", '{"inputs": [1, [2]]}', "Encountered list at unexpected level: 1 expec"),
    ("424", "echo_int64", '{"inputs": [[1], []]}', "Encountered list at unexpected size: 0 at le"),
    (
        "270",
        "echo_string",
        '{"inputs": [{"b65": "eA"}]}',
        "not formatted correctly for base64 data",
    ),
    ("386", "echo_string", '{"inputs": [{"b64": "?"}]}', "Unable to base64 decode"),
    ("386", "echo_string", '{"inputs": [{"b64": "eA="}]}', "Unable to base64 decode"),
    ("987", "echo_float32", '{"instances": [], "x": [', "JSON Parse error: "),
    ("992", "uneven", '{"instances": [1]}', "has inconsistent batch size: "),
    ("237 of http_rest_api_handler.cc", "no", '{"instances": [1]}', 'name: "no" not found in sig'),
]


@pytest.mark.parametrize(("lines", "signature", "body", "text"), REFUSED)
def test_a_body_is_refused_with_tf_servings_text(
    conforming: Server, lines: str, signature: str, body: str, text: str
) -> None:
    response = _predict(conforming, body, signature)
    error = response.json()["error"]
    assert (response.status_code, text in error) == (400, True), error


def test_an_error_of_the_model_has_tensorflows_text(conforming: Server) -> None:
    """``predict_util.cc:107``: what the session returns is the answer."""
    response = _predict(conforming, '{"instances": [2]}', "failing")
    assert response.status_code == 400
    assert "too large" in response.json()["error"]
    wide = _predict(conforming, '{"instances": [1], "signature_name": "two"}')
    assert wide.status_code == 400


def test_a_scalar_output_has_no_rows(conforming: Server) -> None:
    """Lines 986-989: rows need a first dimension, columns do not."""
    body = {"signature_name": "echo_float32", "inputs": 1}
    assert httpx.post(f"{conforming.url}:predict", json=body).json() == {"outputs": 1.0}


def test_a_shown_value_is_cut_at_256_bytes(conforming: Server) -> None:
    """Lines 225-236: the first value that reaches the limit is the last."""
    error = _predict(conforming, f"[{LONG}]").json()["error"]
    shown = error.removeprefix("JSON Value: ").removesuffix(" Is not object")
    assert len(shown) in range(256, 256 + len(", 100"))
    assert json.dumps(list(range(200))).startswith(shown)


def test_an_object_is_shown_on_several_lines(conforming: Server) -> None:
    """Lines 229-236: RapidJSON's PrettyWriter with lists on one line."""
    error = _predict(conforming, '{"b": [1, {"c": null}], "instances": 1}').json()["error"]
    assert error == (
        'JSON Value: {\n    "b": [1, {\n            "c": null\n        }],\n    "instances": 1\n} '
        "Expecting 'instances' to be an list/array"
    )
