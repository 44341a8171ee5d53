"""TensorProto conversion: both forms give the same values, and malformed input is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as shapes
from numpy.typing import NDArray

from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.protos import TensorProto
from serving.engines.modelserver.tensor_proto import decode, encode
from serving.engines.modelserver.tensors import NUMBERS, code_of, strings

_SHAPES = shapes.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
_ARRAYS = st.sampled_from(list(NUMBERS.values())).flatmap(
    lambda dtype: shapes.arrays(dtype, _SHAPES)
)


@given(_ARRAYS)
def test_every_type_survives_the_round_trip(array: NDArray[Any]) -> None:
    decoded = decode("x", encode(array))
    assert decoded.dtype == array.dtype
    np.testing.assert_array_equal(decoded, array)


@given(_ARRAYS)
def test_packed_content_is_decoded(array: NDArray[Any]) -> None:
    proto = TensorProto(dtype=code_of(array), tensor_content=array.tobytes())
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    if array.size:
        np.testing.assert_array_equal(decode("x", proto), array)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6))
def test_strings_survive_the_round_trip(values: list[bytes]) -> None:
    array = strings(values, (len(values), 1))
    assert decode("x", encode(array)).tolist() == array.tolist()


def _proto(sizes: tuple[int, ...], **fields: Any) -> Any:
    proto = TensorProto(**fields)
    for size in sizes:
        proto.tensor_shape.dim.add().size = size
    return proto


def test_the_last_value_fills_the_shape() -> None:
    assert decode("x", _proto((3,), dtype=1, float_val=[1, 2])).tolist() == [1, 2, 2]


@pytest.mark.parametrize(
    "proto",
    [
        _proto((2,), dtype=1),
        _proto((1,), dtype=1, float_val=[1, 2]),
        _proto((2,), dtype=1, tensor_content=b"1234"),
        _proto((-1,), dtype=1, float_val=[1]),
        _proto((1,), dtype=20),
        _proto((1 << 40,), dtype=1, float_val=[1]),
        _proto((1,), dtype=4, int_val=[300]),
        _proto((1,), dtype=7),
    ],
)
def test_malformed_tensors_are_refused(proto: Any) -> None:
    with pytest.raises(Refused, match="tensor parsing error: fare") as refused:
        decode("fare", proto)
    assert refused.value.code is Code.INVALID_ARGUMENT
