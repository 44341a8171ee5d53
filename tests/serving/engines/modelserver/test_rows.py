"""REST bodies: TF Serving's formats and error messages."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.render import render
from serving.engines.modelserver.rows import parse, to_arrays
from serving.engines.modelserver.tensors import strings

FLOAT, INT64, STRING, BOOL = 1, 9, 7, 10
TAXI = {"fare": FLOAT, "hour": INT64, "payment": STRING}


def test_rows_give_one_array_per_input() -> None:
    body = b"""{"instances": [{"fare": [1.5], "hour": [3], "payment": ["Cash"]},
                              {"fare": [2], "hour": [4], "payment": [{"b64": "AAE="}]}]}"""
    arrays = to_arrays(parse(body), TAXI)
    assert arrays["fare"].dtype == np.float32
    assert arrays["fare"].tolist() == [[1.5], [2.0]]
    assert arrays["hour"].dtype == np.int64
    assert arrays["payment"].tolist() == [[b"Cash"], [b"\x00\x01"]]


def test_columns_keep_their_shape() -> None:
    body = b'{"inputs": {"fare": [[1], [2]], "hour": 7, "payment": ["a", "b"]}}'
    arrays = to_arrays(parse(body), TAXI)
    assert arrays["fare"].shape == (2, 1)
    assert arrays["hour"].shape == ()
    assert arrays["payment"].tolist() == [b"a", b"b"]


def test_a_single_input_needs_no_name() -> None:
    assert to_arrays(parse(b'{"instances": ["x", "y"]}'), {"e": STRING})["e"].shape == (2,)
    assert to_arrays(parse(b'{"inputs": [[1, 2]]}'), {"x": FLOAT})["x"].shape == (1, 2)
    assert to_arrays(parse(b'{"instances": [{"b64": "eA=="}]}'), {"e": STRING})["e"][0] == b"x"


def test_bare_nan_and_infinity_are_numbers() -> None:
    arrays = to_arrays(parse(b'{"instances": [[NaN], [-Infinity]]}'), {"x": FLOAT})
    assert math.isnan(arrays["x"][0, 0])
    assert arrays["x"][1, 0] == -np.inf


def test_the_smallest_integer_is_exact() -> None:
    arrays = to_arrays(parse(b'{"instances": [-9223372036854775808]}'), {"x": INT64})
    assert arrays["x"].tolist() == [-(2**63)]


@pytest.mark.parametrize(
    ("body", "codes", "text"),
    [
        (b"", TAXI, "JSON Parse error: The document is empty"),
        (b"{", TAXI, "JSON Parse error: "),
        (b"[" * 100_000, TAXI, "JSON Parse error: "),
        (b"[1]", TAXI, "JSON Value: [1] Is not object"),
        (b"{}", TAXI, "Missing 'inputs' or 'instances' key"),
        (b'{"instances": 1}', TAXI, "Expecting 'instances' to be an list/array"),
        (b'{"instances": []}', TAXI, "No values in 'instances' array"),
        (b'{"instances": [1], "inputs": [1]}', TAXI, "expecting only one of"),
        (b'{"signature_name": 1}', TAXI, "'signature_name' key must be a string value."),
        (b'{"instances": [1]}', TAXI, "instances is a plain list, but expecting"),
        (b'{"inputs": [1]}', TAXI, "inputs is a plain value/list, but expecting an object"),
        (b'{"inputs": {"fare": 1}}', TAXI, "Missing named input: hour in 'inputs' object."),
        (b'{"instances": [{"fare": 1}]}', TAXI, "keys must be equal to: fare,hour,payment"),
        (b'{"instances": [{"x": 1}, [2]]}', {"x": FLOAT}, "Expecting object but got list at item"),
        (b'{"instances": [{"y": 1}]}', {"x": FLOAT}, "does not have named input: y"),
        (
            b'{"instances": ["a"]}',
            {"x": FLOAT},
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
            'JSON Value: "a" Type: String is not of expected type: float',
        ),
        (b'{"instances": [1.5]}', {"x": INT64}, "Type: Number is not of expected type: int64"),
        (b'{"instances": [true]}', {"x": FLOAT}, "Type: True is not of expected type: float"),
        (b'{"instances": [null]}', {"x": FLOAT}, "Type: Null is not of expected type: float"),
        (b'{"instances": [1]}', {"x": STRING}, "Type: Number is not of expected type: string"),
        (b'{"instances": [1]}', {"x": BOOL}, "is not of expected type: bool"),
        (b'{"inputs": [[1], [2, 3]]}', {"x": FLOAT}, "Encountered list at unexpected size: 2"),
        (b'{"inputs": [[1], 2]}', {"x": FLOAT}, "found at incorrect level: 2"),
        (b'{"inputs": [1, [2]]}', {"x": FLOAT}, "Encountered list at unexpected level: 1"),
        (b'{"inputs": [18446744073709551616]}', {"x": INT64}, "not of expected type: int64"),
        (b'{"inputs": {"b64": "?"}}', {"x": STRING}, "Unable to base64 decode"),
        (b'{"inputs": [{"b65": "eA=="}]}', {"x": STRING}, "not formatted correctly for base64"),
    ],
)
def test_malformed_bodies_are_refused_with_a_reason(
    body: bytes, codes: dict[str, int], text: str
) -> None:
    with pytest.raises(Refused) as refused:
        to_arrays(parse(body), codes)
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert text in refused.value.message


def test_a_single_output_has_no_name_and_several_outputs_have_names() -> None:
    single = {"p": np.array([[0.2], [0.5]], np.float32)}
    assert render(single, by_row=True) == b'{"predictions":[[0.2],[0.5]]}'
    assert render(single, by_row=False) == b'{"outputs":[[0.2],[0.5]]}'
    two = {**single, "name": strings([b"a", b"b"], (2,))}
    assert json.loads(render(two, by_row=True)) == {
        "predictions": [{"p": [0.2], "name": "a"}, {"p": [0.5], "name": "b"}]
    }
    assert json.loads(render(two, by_row=False))["outputs"]["name"] == ["a", "b"]


def test_bytes_are_rendered_in_base64() -> None:
    assert b'{"b64":"eA=="}' in render({"x_bytes": strings([b"x"], (1,))}, by_row=True)
    assert b'{"b64":"/w=="}' in render({"x": strings([b"\xff"], (1,))}, by_row=True)


def test_nan_is_rendered_as_a_bare_word() -> None:
    assert render({"p": np.array([np.nan])}, by_row=True) == b'{"predictions": [NaN]}'
    mixed = {
        "p": np.array([np.nan, 0.2, 1 / 3, -np.inf], np.float32),
        "n": strings([b"a"] * 4, (4,)),
    }
    assert render(mixed, by_row=False) == (
        b'{"outputs": {"p": [NaN, 0.2, 0.333333343, -Infinity], "n": ["a", "a", "a", "a"]}}'
    )


def test_rows_need_outputs_of_equal_length() -> None:
    with pytest.raises(Refused, match="inconsistent batch size"):
        render({"a": np.zeros(2), "b": np.zeros(3)}, by_row=True)
    with pytest.raises(Refused, match="no shape information"):
        render({"a": np.array(1.0)}, by_row=True)


@given(st.lists(st.lists(st.floats(width=32), min_size=2, max_size=2), min_size=1, max_size=5))
def test_floats_survive_the_round_trip(values: list[list[float]]) -> None:
    arrays = to_arrays(parse(json.dumps({"inputs": values}).encode()), {"x": FLOAT})
    outputs = json.loads(render(arrays, by_row=False))["outputs"]
    np.testing.assert_array_equal(np.array(outputs, np.float32), np.array(values, np.float32))


@pytest.mark.parametrize("body", [b'{"instances": ["a", 0]}', b'{"inputs": -0}', b'{"inputs": 1}'])
def test_a_number_is_no_string(body: bytes) -> None:
    with pytest.raises(Refused, match="Type: Number is not of expected type: string") as refused:
        to_arrays(parse(body), {"x": STRING})
    assert refused.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("dtype", [np.complex64, np.float16, np.float32, np.object_])
def test_empty_outputs_of_every_type_are_written(dtype: type[np.generic]) -> None:
    outputs = {"y": np.zeros((2, 0), dtype=dtype)}
    assert render(outputs, by_row=False) == b'{"outputs":[[],[]]}'
    assert render(outputs, by_row=True) == b'{"predictions":[[],[]]}'
