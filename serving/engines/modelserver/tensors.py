"""Converts numpy arrays to TensorFlow's tensors and back.

Strings are object arrays of bytes. TensorFlow keeps each string in a cell of 24 bytes
(``TF_TString``); only the library's own functions fill and read it.
"""

from __future__ import annotations

import ctypes as c
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.library import library

STRING = 7
CELL = 24
"""Bytes that TensorFlow needs for each string, its characters not included."""

_SMALL = 1 << 12
"""Bytes that are copied twice without a loss."""

MAX_DIMENSIONS = 64
"""numpy's limit; TensorFlow's is 254."""

NUMBERS: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    5: np.dtype(np.int16),
    6: np.dtype(np.int8),
    8: np.dtype(np.complex64),
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    17: np.dtype(np.uint16),
    18: np.dtype(np.complex128),
    19: np.dtype(np.float16),
    22: np.dtype(np.uint32),
    23: np.dtype(np.uint64),
}
_CODES = {dtype: code for code, dtype in NUMBERS.items()}

NAMES = {
    1: "float",
    2: "double",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    8: "complex64",
    9: "int64",
    10: "bool",
    11: "qint8",
    12: "quint8",
    13: "qint32",
    14: "bfloat16",
    15: "qint16",
    16: "quint16",
    17: "uint16",
    18: "complex128",
    19: "half",
    20: "resource",
    21: "variant",
    22: "uint32",
    23: "uint64",
}


def type_name(code: int) -> str:
    """TensorFlow's name of a type in its messages (``DataTypeString``).

    >>> type_name(1), type_name(99)
    ('float', 'unknown dtype enum (99)')
    """
    return NAMES.get(code, f"unknown dtype enum ({code})")


def code_of(array: NDArray[Any]) -> int:
    """TensorFlow's type code of an array; object arrays are strings."""
    return STRING if array.dtype.hasobject else _CODES[array.dtype]


def strings(values: Sequence[bytes], shape: tuple[int, ...]) -> NDArray[Any]:
    """An object array of bytes; numpy's own bytes type drops trailing zero bytes.

    >>> strings([b"a", b"b\\x00"], (2, 1)).tolist()
    [[b'a'], [b'b\\x00']]
    """
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array if array.shape == shape else array.reshape(shape)


@lru_cache(maxsize=256)
def _sizes(shape: tuple[int, ...]) -> Any:
    """A shape as the library takes it."""
    return (c.c_int64 * len(shape))(*shape)


def to_tensor(array: NDArray[Any]) -> int:
    """A ``TF_Tensor`` with a copy of the values; release it with `free`."""
    lib = library()
    code = code_of(array)
    size = array.size * CELL if code == STRING else array.nbytes
    tensor: int = lib.TF_AllocateTensor(code, _sizes(array.shape), array.ndim, size)
    if size:
        address = lib.TF_TensorData(tensor)
        if code == STRING:
            for cell, value in enumerate(array.ravel().tolist()):
                start = address + cell * CELL
                lib.TF_StringInit(start)
                lib.TF_StringCopy(start, value, len(value))
        elif size <= _SMALL:
            c.memmove(address, array.tobytes(), size)  # without numpy's slow view for ctypes
        else:
            c.memmove(address, np.ascontiguousarray(array).ctypes.data, size)
    return tensor


def free(tensor: int, array: NDArray[Any]) -> None:
    """Delete a tensor that `to_tensor` created from `array`, including long strings."""
    lib = library()
    if array.dtype.hasobject and array.size:
        address = lib.TF_TensorData(tensor)
        for position in range(array.size):
            lib.TF_StringDealloc(address + position * CELL)
    lib.TF_DeleteTensor(tensor)


def from_tensor(tensor: int) -> NDArray[Any]:
    """A copy of a tensor's values.

    Raises
    ------
    Refused
        For types that numpy does not have (bfloat16, variants, resources).
    """
    lib = library()
    code = lib.TF_TensorType(tensor)
    shape = tuple(lib.TF_Dim(tensor, axis) for axis in range(lib.TF_NumDims(tensor)))
    size = lib.TF_TensorByteSize(tensor)
    address = lib.TF_TensorData(tensor)
    if code == STRING:
        values = [_string(address + start) for start in range(0, size, CELL)]
        return strings(values, shape)
    dtype = NUMBERS.get(code)
    if dtype is None:
        raise Refused(Code.UNIMPLEMENTED, f"Outputs of TensorFlow type {code} are not supported.")
    data = c.string_at(address, size) if size else b""
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _string(cell: int) -> bytes:
    lib = library()
    return c.string_at(lib.TF_StringGetDataPointer(cell), lib.TF_StringGetSize(cell))
