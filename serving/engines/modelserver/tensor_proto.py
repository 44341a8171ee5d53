"""Converts TensorProto to numpy and back, ten times faster than TensorFlow's helpers.

Responses use the typed fields (``float_val`` …) as TF Serving does by default, because many clients
read those fields directly. Requests may use either form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.protos import TensorProto
from serving.engines.modelserver.tensors import (
    CELL,
    MAX_DIMENSIONS,
    NUMBERS,
    STRING,
    code_of,
    strings,
)

_FIELDS = {
    1: "float_val",
    2: "double_val",
    3: "int_val",
    4: "int_val",
    5: "int_val",
    6: "int_val",
    8: "scomplex_val",
    9: "int64_val",
    10: "bool_val",
    17: "int_val",
    18: "dcomplex_val",
    19: "half_val",
    22: "uint32_val",
    23: "uint64_val",
}
_HALF = 19
_WIDE: dict[int, np.dtype[Any]] = {code: np.dtype(np.int64) for code in (3, 4, 5, 6, 17, _HALF)}
_WIDE |= {8: np.dtype(np.float32), 18: np.dtype(np.float64)}
"""Types of the values in a message, where they are not those of the tensor."""
_AT_ONCE = 1 << 15
MAX_FILLED_BYTES = 64 << 20
"""Memory that the repeated last values of one request may need: a message of 60 bytes can ask for
a tensor of any size."""


def decode_inputs(protos: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays of a request's inputs; see `decode`.

    Raises
    ------
    Refused
        RESOURCE_EXHAUSTED, before anything is allocated, when repeated values would need more than
        `MAX_FILLED_BYTES`; INVALID_ARGUMENT as `decode` does.
    """
    filled = sum(_filled_bytes(proto) for proto in protos.values())
    if filled > MAX_FILLED_BYTES:
        raise Refused(
            Code.RESOURCE_EXHAUSTED,
            f"The inputs repeat their last values to {filled:,} bytes; at most "
            f"{MAX_FILLED_BYTES:,} are allowed. Send the values in tensor_content.",
        )
    return {name: decode(name, proto) for name, proto in protos.items()}


def _filled_bytes(proto: Any) -> int:
    """Memory for the values of a tensor that its message does not contain."""
    sizes = [dimension.size for dimension in proto.tensor_shape.dim]
    if proto.tensor_content or min(sizes, default=0) < 0:
        return 0
    field = "string_val" if proto.dtype == STRING else _FIELDS.get(proto.dtype)
    given = len(getattr(proto, field)) if field else 0
    given //= 2 if proto.dtype in (8, 18) else 1
    # numpy keeps a string as a pointer, and TensorFlow in a cell
    width = 8 + CELL if proto.dtype == STRING else 16 if proto.dtype == 18 else 8
    missing: int = max(0, math.prod(sizes) - given)
    return missing * width


def decode(name: str, proto: Any) -> NDArray[Any]:
    """The array in a ``TensorProto``, as TensorFlow's ``Tensor::FromProto`` reads it.

    If there are fewer values than the shape needs, the last one is repeated, or zeros are taken
    where there is none; surplus values are dropped, and integers that do not fit a small type lose
    their upper bits. `decode_inputs` limits the memory for it.

    Raises
    ------
    Refused
        INVALID_ARGUMENT when type, shape and content do not match.
    """
    shape = tuple(dimension.size for dimension in proto.tensor_shape.dim)
    malformed = invalid(f"tensor parsing error: {name}")
    if min(shape, default=0) < 0 or len(shape) > MAX_DIMENSIONS:
        raise malformed
    if (proto.tensor_shape.unknown_rank and shape) or _filled_bytes(proto) > MAX_FILLED_BYTES:
        raise malformed
    count = math.prod(shape)
    try:
        if proto.dtype == STRING:
            return strings(_texts(proto, count), shape)
        dtype = NUMBERS[proto.dtype]
        if not count:
            return np.empty(shape, dtype)
        if proto.tensor_content:
            if len(proto.tensor_content) != count * dtype.itemsize:
                raise malformed
            return np.frombuffer(proto.tensor_content, dtype=dtype).reshape(shape)
        return _numbers(proto, dtype, count).reshape(shape)
    except (KeyError, ValueError) as error:  # another type, or more elements than numpy can count
        raise malformed from error


def _texts(proto: Any, count: int) -> list[bytes]:
    if not (count and proto.tensor_content):
        values: list[bytes] = []
        for start in range(0, min(count, len(proto.string_val)), _AT_ONCE):
            values += proto.string_val[start : min(start + _AT_ONCE, count)]
        return _filled(values, count, b"")
    sizes, content = _lengths(proto.tensor_content, count)
    if sum(sizes) != len(content):
        raise ValueError("the lengths do not add up to the content")
    ends = [0, *accumulate(sizes)]
    return [content[start:end] for start, end in pairwise(ends)]


def _lengths(content: bytes, count: int) -> tuple[list[int], bytes]:
    """The lengths of the texts, varints before their characters (``DecodeStringList``)."""
    sizes, position = [], 0
    for _ in range(count):
        size = shift = 0
        while True:
            if position == len(content) or shift > 28:
                raise ValueError("a length is not whole")
            byte = content[position]
            position += 1
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        sizes.append(size & 0xFFFFFFFF)
    return sizes, content[position:]


def _numbers(proto: Any, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    field = getattr(proto, _FIELDS[proto.dtype])
    width = 2 if dtype.kind == "c" else 1
    values: NDArray[Any] = np.empty(min(count * width, len(field)), _WIDE.get(proto.dtype, dtype))
    for start in range(0, len(values), _AT_ONCE):  # other threads may run between two parts
        values[start : start + _AT_ONCE] = field[start : min(start + _AT_ONCE, len(values))]
    if proto.dtype == _HALF:
        values = values.astype(np.uint16).view(np.float16)
    elif width == 2:
        values = values[: len(values) // 2 * 2].view(dtype)
    values = values.astype(dtype, copy=False)
    if len(values) == count:
        return values
    filled = np.full(count, values[-1] if len(values) else 0, dtype)
    filled[: len(values)] = values
    return filled


def _filled(values: list[Any], count: int, empty: Any) -> list[Any]:
    """`values` extended to `count` by repeating the last one."""
    return values + [values[-1] if values else empty] * (count - len(values))


def encode(array: NDArray[Any]) -> Any:
    """The ``TensorProto`` of an array."""
    code = code_of(array)
    proto = TensorProto(dtype=code)
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    flat: NDArray[Any] = array.ravel()
    field = getattr(proto, "string_val" if code == STRING else _FIELDS[code])
    if code == _HALF:
        flat = flat.view(np.uint16)
    elif flat.dtype.kind == "c":
        flat = flat.view(flat.real.dtype)
    for start in range(0, len(flat), _AT_ONCE):
        field.extend(flat[start : start + _AT_ONCE].tolist())
    return proto
