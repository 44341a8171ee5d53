"""Converts one nested JSON value to a dense array of a given type, without implicit conversions.

numpy would read the text "1.5" as a number and True as 1.0. TF Serving refuses both, and so does
this module.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.tensors import NAMES, NUMBERS, STRING, strings

# The largest integer up to which every integer is exact, as IsLosslessDecimal in json_tensor.cc.
_LARGEST_EXACT = {1: (1 << 24) - 1, 2: (1 << 53) - 1}
_JSON_TYPES = {bool: ("False", "True"), type(None): ("Null",), str: ("String",), list: ("Array",)}


def is_bytes(value: Any) -> bool:
    """Whether a JSON object is the base64 form of one string."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def dense(value: Any, code: int) -> NDArray[Any]:
    """Convert a JSON value to an array.

    >>> dense([[1, 2], [3, 4]], 1).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    >>> dense(["a", {"b64": "Yg=="}], 7).tolist()
    [b'a', b'b']

    Raises
    ------
    Refused
        INVALID_ARGUMENT for ragged lists, another type, or a loss of precision.
    """
    if code == STRING:
        values: list[bytes] = []
        shape = _shape(value)
        _flatten(value, shape, 0, values)
        return strings(values, shape)
    dtype = NUMBERS.get(code)
    if dtype is None or dtype.kind not in "fiub" or dtype == np.float16:
        name = NAMES.get(code, str(code))
        raise Refused(
            Code.UNIMPLEMENTED, f"Conversion of JSON Value: {_shortened(value)} to {name}"
        )
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise _explain(value, code) from error
    if array.size == 0:
        return array.astype(dtype)
    if not _fits(array, dtype):
        raise _explain(value, code)
    return _converted(array, dtype, code)


def _fits(array: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    allowed = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[dtype.kind]
    return array.dtype.kind in allowed


def _converted(array: NDArray[Any], dtype: np.dtype[Any], code: int) -> NDArray[Any]:
    if dtype.kind == "f":
        return _to_float(array, dtype, code)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        out_of_range = (array < limits.min) | (array > limits.max)
        if out_of_range.any():
            raise _type_error(array[out_of_range].flat[0].item(), code)
    return array.astype(dtype, copy=False)


def _to_float(array: NDArray[Any], dtype: np.dtype[Any], code: int) -> NDArray[Any]:
    if array.dtype.kind in "iu":
        lossy = np.abs(array.astype(np.float64)) > _LARGEST_EXACT[code]
    elif dtype == np.float32:
        lossy = np.isfinite(array) & (np.abs(array) > np.finfo(np.float32).max)
    else:
        return array.astype(dtype, copy=False)
    if lossy.any():
        raise invalid(
            f"Cannot convert JSON value: {array[lossy].flat[0].item()} to {NAMES[code]} "
            "without loss of precision."
        )
    return array.astype(dtype)


def _explain(value: Any, code: int) -> Refused:
    """Explain why a value is no dense array of that type: ragged, or a leaf of another type."""
    try:
        _check_leaves(value, _shape(value), 0, code)
    except Refused as refused:
        return refused
    return _type_error(value, code)


def _check_leaves(value: Any, shape: tuple[int, ...], level: int, code: int) -> None:
    if _is_list_at(value, shape, level):
        for item in value:
            _check_leaves(item, shape, level + 1, code)
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    kind = NUMBERS[code].kind
    integer = isinstance(value, int) and not isinstance(value, bool)
    matches = {"f": number, "i": integer, "u": integer, "b": isinstance(value, bool)}[kind]
    if not matches:
        raise _type_error(value, code)


def _flatten(value: Any, shape: tuple[int, ...], level: int, values: list[bytes]) -> None:
    if _is_list_at(value, shape, level):
        for item in value:
            _flatten(item, shape, level + 1, values)
    elif isinstance(value, str):
        values.append(value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, dict):
        values.append(_decoded(value))
    else:
        raise _type_error(value, STRING)


def _decoded(value: dict[str, Any]) -> bytes:
    if not is_bytes(value):
        raise invalid(f"JSON Value: {_shortened(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def _shape(value: Any) -> tuple[int, ...]:
    """The shape along the first elements; all other elements must have the same shape."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _is_list_at(value: Any, shape: tuple[int, ...], level: int) -> bool:
    """Whether the value is a list; refuses a list or a value at the wrong level."""
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid(
                f"JSON Value: {_shortened(value)} found at incorrect level: {level + 1} "
                f"in the JSON DOM. Expected at level: {rank}"
            )
        return False
    if level >= rank:
        raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    return True


def _type_error(value: Any, code: int) -> Refused:
    names = _JSON_TYPES.get(type(value), ("Object" if isinstance(value, dict) else "Number",))
    name = names[int(value)] if isinstance(value, bool) else names[0]
    return invalid(
        f"JSON Value: {_shortened(value)} Type: {name} is not of expected type: {NAMES[code]}"
    )


def _shortened(value: Any) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 200 else shown[:200] + "..."
