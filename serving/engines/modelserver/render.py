"""Writes the bodies of predict responses, in TF Serving's row and columnar formats.

Numbers are written by orjson with the fewest digits that identify them; only outputs with NaN or
infinities, which JSON does not have, need TF Serving's own notation. Source:
``MakeJsonFromTensors`` of ``util/json_tensor.cc``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from serving.engines.modelserver.codes import invalid
from serving.engines.modelserver.json_text import decimal
from serving.engines.modelserver.tensors import code_of, type_name

Arrays = Mapping[str, NDArray[Any]]
_AT_ONCE = 1 << 15
_WRITTEN = {1, 2, 3, 4, 5, 6, 7, 9, 10, 22, 23}
"""Types that ``AddSingleValueAndAdvance`` can write."""


def render(outputs: Arrays, *, by_row: bool) -> bytes:
    """Render the response body as JSON.

    Raises
    ------
    Refused
        INVALID_ARGUMENT for types without a JSON form, and when rows are requested and outputs
        differ in their first dimension.
    """
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if by_row:
        _check_rows(outputs)
    values = {name: _jsonable(name, array) for name, array in outputs.items()}
    if by_row:
        response: dict[str, Any] = {"predictions": _by_row(values)}
    else:
        response = {"outputs": values if len(values) > 1 else next(iter(values.values()))}
    finite = all(_finite(array) for array in outputs.values())
    if sum(array.size for array in outputs.values()) > _AT_ONCE:
        return b"".join(_parts(response, finite=finite))
    return _written(response, finite=finite)


def _check_rows(outputs: Arrays) -> None:
    size = -1
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if size not in (-1, array.shape[0]):
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: "
                f"{array.shape[0]} expecting: {size}"
            )
        size = array.shape[0]


def _by_row(values: Mapping[str, Any]) -> Any:
    if len(values) == 1:
        return next(iter(values.values()))
    names = list(values)
    return [dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _finite(array: NDArray[Any]) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _jsonable(name: str, array: NDArray[Any]) -> Any:
    """Arrays and numbers stay numpy's; bytes become text or base64 objects."""
    if not array.size:
        return array.tolist()  # of any type; orjson knows no empty array of complex numbers
    if code_of(array) not in _WRITTEN:
        raise invalid(f"Failed to write JSON value for tensor type: {type_name(code_of(array))}")
    if array.dtype.hasobject:
        return _texts(array.tolist(), as_bytes=name.endswith("_bytes"))
    return array if array.ndim else array[()]  # orjson refuses arrays without dimensions


def _text(value: Any) -> str:
    """A value with bare words for NaN and infinities."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)}: {_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, np.ndarray):
        return _text(list(value)) if value.dtype.kind == "f" else _text(value.tolist())
    return (
        decimal(value)
        if isinstance(value, np.floating)
        else orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    )


def _parts(value: Any, *, finite: bool) -> Iterator[bytes]:
    """The parts of a large response; other threads may run between two of them."""
    if isinstance(value, dict):
        for position, (key, item) in enumerate(value.items()):
            yield (b"," if position else b"{") + orjson.dumps(key) + b":"
            yield from _parts(item, finite=finite)
        yield b"}"
    elif not isinstance(value, list | np.ndarray) or not len(value):
        yield _written(value, finite=finite)
    elif (width := _width(value[0])) > _AT_ONCE:
        for position, row in enumerate(value):
            yield b"," if position else b"["
            yield from _parts(row, finite=finite)
        yield b"]"
    else:
        step = _AT_ONCE // width
        for start in range(0, len(value), step):
            rows = _written(value[start : start + step], finite=finite)
            yield (b"," if start else b"[") + rows[1:-1]
        yield b"]"


def _width(row: Any) -> int:
    """About how many values a row has."""
    if isinstance(row, list | dict):
        return max(1, 4 * len(row))
    return max(1, int(np.size(row)))


def _written(value: Any, *, finite: bool) -> bytes:
    if finite:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return _text(value).encode()


def _texts(values: Any, *, as_bytes: bool) -> Any:
    if isinstance(values, list):
        return [_texts(value, as_bytes=as_bytes) for value in values]
    if not as_bytes:
        try:
            return values.decode("utf-8")
        except UnicodeDecodeError:
            pass  # TF Serving would write broken JSON here
    return {"b64": base64.b64encode(values).decode("ascii")}
