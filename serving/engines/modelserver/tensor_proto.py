"""Converts TensorProto to numpy and back, ten times faster than TensorFlow's helpers.

Responses use the typed fields (``float_val`` …) as TF Serving does by default, because many clients
read those fields directly. Requests may use either form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

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
_COMPLEX = (8, 18)
"""Types with two values in the message for each of the tensor."""
_WIDE: dict[int, np.dtype[Any]] = {code: np.dtype(np.int64) for code in (3, 4, 5, 6, 17, _HALF)}
_WIDE |= {8: np.dtype(np.float32), 18: np.dtype(np.float64)}
"""Types of the values in a message, where they are not those of the tensor."""
_EXACT = {1, 2, 9, 10, 22, 23}
"""Types whose values are in the message as they are in the tensor."""
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
    arrays = {}
    for name, proto in protos.items():
        array = _plain(proto)
        if array is None:
            return _decode_all(protos)
        arrays[name] = array
    return arrays


def _plain(proto: Any) -> NDArray[Any] | None:
    """The array of a tensor as most clients send it: each value once, in the field of its type.

    None for any other form, which `_decode` reads; this way costs half as much.
    """
    code = proto.dtype
    if code not in _EXACT and code != STRING:
        return None
    values = proto.string_val if code == STRING else getattr(proto, _FIELDS[code])
    shape = tuple([dimension.size for dimension in proto.tensor_shape.dim])
    count = len(values)
    if not 0 < count <= _AT_ONCE or math.prod(shape) != count or min(shape, default=0) < 0:
        return None
    if proto.tensor_content or proto.tensor_shape.unknown_rank or len(shape) > MAX_DIMENSIONS:
        return None
    if code == STRING:
        return strings(values[:], shape)
    return np.array(values[:], NUMBERS[code]).reshape(shape)


def _decode_all(protos: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    layouts = [(name, proto, _layout(proto)) for name, proto in protos.items()]
    filled = sum([layout.filled_bytes for _, _, layout in layouts])
    if filled > MAX_FILLED_BYTES:
        raise Refused(
            Code.RESOURCE_EXHAUSTED,
            f"The inputs repeat their last values to {filled:,} bytes; at most "
            f"{MAX_FILLED_BYTES:,} are allowed. Send the values in tensor_content.",
        )
    return {name: _decode(name, proto, layout) for name, proto, layout in layouts}


class _Layout(NamedTuple):
    """What a ``TensorProto`` has, before its values are read."""

    code: int
    shape: tuple[int, ...]
    size: int
    """Number of values; of no meaning with a negative length."""
    values: Any
    """The field with its values, None for an unknown type."""
    filled_bytes: int
    """Memory for the values that the message does not contain."""


def _layout(proto: Any) -> _Layout:
    code = proto.dtype
    shape = tuple([dimension.size for dimension in proto.tensor_shape.dim])
    count = math.prod(shape)
    field = "string_val" if code == STRING else _FIELDS.get(code)
    values = None if field is None else getattr(proto, field)
    given = 0 if values is None else len(values)
    missing = count - (given // 2 if code in _COMPLEX else given)
    if missing <= 0 or proto.tensor_content or min(shape, default=0) < 0:
        return _Layout(code, shape, count, values, 0)
    # numpy keeps a string as a pointer, and TensorFlow in a cell
    width = 8 + CELL if code == STRING else 16 if code == 18 else 8
    return _Layout(code, shape, count, values, missing * width)


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
    layout = _layout(proto)
    if layout.filled_bytes > MAX_FILLED_BYTES:
        raise _malformed(name)
    return _decode(name, proto, layout)


def _malformed(name: str) -> Refused:
    return invalid(f"tensor parsing error: {name}")


def _decode(name: str, proto: Any, layout: _Layout) -> NDArray[Any]:
    code, shape, count, values, _ = layout
    if shape and (min(shape) < 0 or len(shape) > MAX_DIMENSIONS or proto.tensor_shape.unknown_rank):
        raise _malformed(name)
    try:
        if code == STRING:
            return strings(_texts(proto, count), shape)
        dtype = NUMBERS[code]
        if not count:
            return np.empty(shape, dtype)
        if content := proto.tensor_content:
            if len(content) != count * dtype.itemsize:
                raise _malformed(name)
            return np.frombuffer(content, dtype=dtype).reshape(shape)
        return _numbers(code, values, dtype, count).reshape(shape)
    except (KeyError, ValueError) as error:  # another type, or more elements than numpy can count
        raise _malformed(name) from error


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


def _numbers(code: int, field: Any, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    width = 2 if code in _COMPLEX else 1
    values: NDArray[Any] = np.empty(min(count * width, len(field)), _WIDE.get(code, dtype))
    for start in range(0, len(values), _AT_ONCE):  # other threads may run between two parts
        values[start : start + _AT_ONCE] = field[start : min(start + _AT_ONCE, len(values))]
    if code == _HALF:
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
    proto = TensorProto()
    encode_into(proto, array)
    return proto


def encode_into(proto: Any, array: NDArray[Any]) -> None:
    """Fill an empty ``TensorProto`` from an array."""
    code = proto.dtype = code_of(array)
    dimensions = proto.tensor_shape.dim
    for size in array.shape:
        dimensions.add(size=size)
    flat: NDArray[Any] = array.ravel()
    field = getattr(proto, "string_val" if code == STRING else _FIELDS[code])
    if code == _HALF:
        flat = flat.view(np.uint16)
    elif flat.dtype.kind == "c":
        flat = flat.view(flat.real.dtype)
    for start in range(0, len(flat), _AT_ONCE):
        field.extend(flat[start : start + _AT_ONCE].tolist())
