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
from serving.engines.modelserver.tensor_proto import decode, decode_inputs, encode
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


@pytest.mark.parametrize(
    ("proto", "values"),
    [
        (_proto((3,), dtype=1, float_val=[1, 2]), [1, 2, 2]),
        (_proto((2,), dtype=7, string_val=[b"a"]), [b"a", b"a"]),
        (_proto((2,), dtype=1), [0, 0]),
        (_proto((2,), dtype=7), [b"", b""]),
        (_proto((1,), dtype=1, float_val=[1, 2]), [1]),
        (_proto((1,), dtype=7, string_val=[b"a", b"b"]), [b"a"]),
        (_proto((3,), dtype=4, int_val=[300, -1, 7]), [44, 255, 7]),
        (_proto((2,), dtype=6, int_val=[200, -129]), [-56, 127]),
        (_proto((1,), dtype=17, int_val=[70_000]), [4_464]),
        (_proto((2,), dtype=8, scomplex_val=[1, 2]), [1 + 2j, 1 + 2j]),
        (_proto((2,), dtype=7, tensor_content=b"\x01\x02abb"), [b"a", b"bb"]),
    ],
)
def test_values_fill_the_shape_as_in_tensorflow(proto: Any, values: list[Any]) -> None:
    assert decode("x", proto).tolist() == values


def test_an_unknown_rank_without_sizes_is_a_scalar() -> None:
    proto = TensorProto(dtype=1, float_val=[3])
    proto.tensor_shape.unknown_rank = True
    assert decode("x", proto).shape == ()


@pytest.mark.parametrize(
    "proto",
    [
        _proto((2,), dtype=14),
        _proto((1,) * 65, dtype=1, float_val=[1]),
        _proto((2,), dtype=7, tensor_content=b"\x01\x01a"),
        _proto((2,), dtype=7, tensor_content=b"\x01"),
        _proto((1,), dtype=7, tensor_content=b"\xff\xff\xff\xff\xff\x01"),
        _proto((2,), dtype=1, tensor_content=b"1234"),
        _proto((-1,), dtype=1, float_val=[1]),
        _proto((1,), dtype=20),
        _proto((1 << 40,), dtype=1, float_val=[1]),
    ],
)
def test_malformed_tensors_are_refused(proto: Any) -> None:
    with pytest.raises(Refused, match="tensor parsing error: fare") as refused:
        decode("fare", proto)
    assert refused.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "protos",
    [
        {"a": _proto((1 << 27,), dtype=1, float_val=[1])},
        {"a": _proto((1 << 62,), dtype=9, int64_val=[1])},
        {"a": _proto((1 << 31, 1 << 31), dtype=7, string_val=[b"x"])},
        {"a": _proto((1 << 40,), dtype=2)},
        {str(at): _proto((1 << 20,), dtype=1, float_val=[1]) for at in range(20)},
    ],
)
def test_repeated_values_are_refused_before_memory_is_used(protos: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="repeat their last values") as refused:
        decode_inputs(protos)
    assert refused.value.code is Code.RESOURCE_EXHAUSTED


def test_a_tensor_without_values_needs_no_memory() -> None:
    empty = decode_inputs({"a": _proto((1 << 40, 0), dtype=1)})
    assert empty["a"].shape == (1 << 40, 0)
