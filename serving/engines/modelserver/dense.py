"""One JSON value, however nested, as a dense array of a wanted type; nothing is guessed.

numpy would read the text "1.5" as a number and True as 1.0; TF Serving refuses both, so we do.
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

# The largest integer with every smaller one exact, as IsLosslessDecimal in json_tensor.cc.
_LARGEST_EXACT = {1: (1 << 24) - 1, 2: (1 << 53) - 1}
_WORDS = {bool: ("False", "True"), type(None): ("Null",), str: ("String",), list: ("Array",)}


def is_bytes(value: Any) -> bool:
    """Whether a JSON object is the base64 form of one string."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def dense(value: Any, code: int) -> NDArray[Any]:
    """The array of a JSON value.

    >>> dense([[1, 2], [3, 4]], 1).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    >>> dense(["a", {"b64": "Yg=="}], 7).tolist()
    [b'a', b'b']

    Raises
    ------
    Refused
        INVALID_ARGUMENT: ragged lists, another type, or a loss of precision.
    """
    if code == STRING:
        found: list[bytes] = []
        shape = _shape(value)
        _flatten(value, shape, 0, found)
        return strings(found, shape)
    dtype = NUMBERS.get(code)
    if dtype is None or dtype.kind not in "fiub" or dtype == np.float16:
        name = NAMES.get(code, str(code))
        raise Refused(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {_show(value)} to {name}")
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise _explained(value, code) from error
    if array.size == 0:
        return array.astype(dtype)
    if not _fits(array, dtype):
        raise _explained(value, code)
    return _converted(array, dtype, code)


def _fits(array: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    allowed = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[dtype.kind]
    return array.dtype.kind in allowed


def _converted(array: NDArray[Any], dtype: np.dtype[Any], code: int) -> NDArray[Any]:
    if dtype.kind == "f":
        return _to_float(array, dtype, code)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        wrong = (array < limits.min) | (array > limits.max)
        if wrong.any():
            raise _type_error(array[wrong].flat[0].item(), code)
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


def _explained(value: Any, code: int) -> Refused:
    """Why a value is no dense array of that type: ragged, or the first leaf that does not fit."""
    try:
        _walk(value, _shape(value), 0, code)
    except Refused as refused:
        return refused
    return _type_error(value, code)


def _walk(value: Any, shape: tuple[int, ...], level: int, code: int) -> None:
    if _checked_level(value, shape, level):
        for one in value:
            _walk(one, shape, level + 1, code)
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    kind = NUMBERS[code].kind
    whole = isinstance(value, int) and not isinstance(value, bool)
    good = {"f": number, "i": whole, "u": whole, "b": isinstance(value, bool)}[kind]
    if not good:
        raise _type_error(value, code)


def _flatten(value: Any, shape: tuple[int, ...], level: int, found: list[bytes]) -> None:
    if _checked_level(value, shape, level):
        for one in value:
            _flatten(one, shape, level + 1, found)
    elif isinstance(value, str):
        found.append(value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, dict):
        found.append(_decoded(value))
    else:
        raise _type_error(value, STRING)


def _decoded(value: dict[str, Any]) -> bytes:
    if not is_bytes(value):
        raise invalid(f"JSON Value: {_show(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def _shape(value: Any) -> tuple[int, ...]:
    """The shape along the first elements, which all the others must have."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _checked_level(value: Any, shape: tuple[int, ...], level: int) -> bool:
    """Whether to go deeper; refuses lists where the shape has values and the reverse."""
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid(
                f"JSON Value: {_show(value)} found at incorrect level: {level + 1} "
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
    words = _WORDS.get(type(value), ("Object" if isinstance(value, dict) else "Number",))
    word = words[int(value)] if isinstance(value, bool) else words[0]
    return invalid(
        f"JSON Value: {_show(value)} Type: {word} is not of expected type: {NAMES[code]}"
    )


def _show(value: Any) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 200 else shown[:200] + "..."
