"""Converts one nested JSON value to a dense array, as ``util/json_tensor.cc`` does.

numpy converts whole lists at once, but reads True as 1 and 1.0 as an integer; TF Serving refuses
both. What numpy might read otherwise is converted value by value, which also finds the reason of a
refusal. Numbers become float32 and integers of 8 and 16 bits silently, as in TF Serving.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.json_text import shown
from serving.engines.modelserver.tensors import (
    MAX_DIMENSIONS,
    NUMBERS,
    STRING,
    strings,
    type_name,
)

_JSON_TYPES = {bool: ("False", "True"), type(None): ("Null",), str: ("String",)}
_JSON_TYPES |= {bytes: ("String",), list: ("Array",), dict: ("Object",)}
_INTEGERS = {3: (31, -1), 4: (31, -1), 5: (31, -1), 6: (31, -1), 9: (63, -1), 22: (32, 0)}
_INTEGERS |= {23: (64, 0)}
"""Bits, and the sign of the smallest value, of the integers that ``AddValueToTensor`` takes for a
type: 32 bits for 8 and 16 bits too, which the tensor then cuts off."""
_FLOATS = (1, 2)
_BOOL = 10
_INT64 = 9
_CONVERTED = {*_INTEGERS, *_FLOATS, _BOOL, STRING}


def is_bytes(value: Any) -> bool:
    """Whether a JSON object is the base64 form of one string."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def dense(value: Any, code: int, *, booleans: bool = True) -> NDArray[Any]:
    """Convert a JSON value to an array; `booleans` is whether true or false may be in it.

    >>> dense([[1, 2], [3, 4]], 1).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    >>> dense(["a", {"b64": "Yg=="}], 7).tolist()
    [b'a', b'b']

    Raises
    ------
    Refused
        INVALID_ARGUMENT for ragged lists and for another type; UNIMPLEMENTED for a type that has no
        JSON form.
    """
    array = None if code == STRING else fast(value, code, booleans=booleans)
    return exact(value, code) if array is None else array


def fast(value: Any, code: int, *, booleans: bool) -> NDArray[Any] | None:
    """The array if numpy certainly reads the value as TF Serving does."""
    if code not in _CONVERTED:
        return None
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError, RecursionError):
        return None
    kind = array.dtype.kind
    dtype = NUMBERS[code]
    if array.size == 0:
        return array.astype(dtype) if kind == "f" else None
    if code == _BOOL:
        return array if kind == "b" else None
    if booleans:
        return None
    if code in _FLOATS and kind in "fiu":
        with np.errstate(over="ignore"):
            return array.astype(np.float64, copy=False).astype(dtype, copy=False)
    if code == _INT64 and kind == "i":
        return array
    if code in _INTEGERS and kind in "iu":
        bits, sign = _INTEGERS[code]
        smallest = sign * (1 << bits)
        if smallest <= int(array.min()) and int(array.max()) < 1 << bits:
            return array.astype(dtype, copy=False)
    return None


def exact(value: Any, code: int) -> NDArray[Any]:
    """The array, value by value; see `dense`."""
    shape = shape_of(value)
    values: list[Any] = []
    fill(value, shape, code, values)
    return array_of(values, shape, code)


def array_of(values: list[Any], shape: tuple[int, ...], code: int) -> NDArray[Any]:
    """The array of values that `fill` collected."""
    if code == STRING:
        return strings(values, shape)
    dtype = NUMBERS.get(code, np.dtype(np.float32))
    with np.errstate(over="ignore"):
        if code in _FLOATS:
            return np.array(values, np.float64).astype(dtype).reshape(shape)
        wide = {22: np.uint64, 23: np.uint64, _BOOL: np.bool_}.get(code, np.int64)
        return np.array(values, wide).astype(dtype).reshape(shape)


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape along the first elements; all other elements must have the same shape."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def fill(value: Any, shape: tuple[int, ...], code: int, values: list[Any], level: int = 0) -> None:
    """Append the values of a nested list of this shape (``FillTensorProto``).

    Raises
    ------
    Refused
        As `dense` does.
    """
    rank = len(shape)
    if rank > MAX_DIMENSIONS:
        raise invalid(f"Tensors of more than {MAX_DIMENSIONS} dimensions are not supported.")
    if not isinstance(value, list):
        if level != rank:
            raise invalid(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} "
                f"in the JSON DOM. Expected at level: {rank}"
            )
        values.append(_leaf(value, code))
        return
    if level >= rank:
        raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for item in value:
        fill(item, shape, code, values, level + 1)


def _leaf(value: Any, code: int) -> Any:
    """One value (``AddValueToTensor``)."""
    if isinstance(value, dict):
        if code != STRING:
            raise _type_error(value, code)
        return base64_bytes(value)
    if code not in _CONVERTED:
        raise Refused(
            Code.UNIMPLEMENTED,
            f"Conversion of JSON Value: {shown(value)} to type: {type_name(code)}",
        )
    if code == STRING and isinstance(value, str | bytes):
        return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    if not _takes(value, code):
        raise _type_error(value, code)
    return value


def _takes(value: Any, code: int) -> bool:
    if code == _BOOL or isinstance(value, bool):
        return code == _BOOL and isinstance(value, bool)
    if code in _FLOATS:
        return isinstance(value, int | float)
    if code not in _INTEGERS or not isinstance(value, int):
        return False
    bits, sign = _INTEGERS[code]
    return sign * (1 << bits) <= value < 1 << bits


def base64_bytes(value: dict[str, Any]) -> bytes:
    """The bytes of ``{"b64": "..."}``; as ``absl::Base64Unescape``, spaces and missing padding are
    allowed.

    Raises
    ------
    Refused
        INVALID_ARGUMENT with TF Serving's text.
    """
    if not is_bytes(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split())
    letters = text.rstrip("=.")
    padding = -len(letters) % 4
    try:
        if len(text) - len(letters) not in (0, padding):
            raise ValueError("padding of another length")
        return base64.b64decode(letters + "=" * padding, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def json_type(value: Any) -> str:
    """The name of a JSON type as TF Serving writes it."""
    names = _JSON_TYPES.get(type(value), ("Number",))
    return names[int(value)] if isinstance(value, bool) else names[0]


def _type_error(value: Any, code: int) -> Refused:
    return invalid(
        f"JSON Value: {shown(value)} Type: {json_type(value)} is not of expected type: "
        f"{type_name(code)}"
    )
