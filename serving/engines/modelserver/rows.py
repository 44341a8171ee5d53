"""Converts REST bodies to arrays and back, in TF Serving's row and columnar formats.

Rows: ``{"instances": [...]}`` gives ``{"predictions": [...]}``; columns: ``{"inputs": ...}``
gives ``{"outputs": ...}``. Bytes are ``{"b64": "..."}``. NaN and Infinity are read and written
as bare words, as TF Serving does. Source: tensorflow/serving's ``util/json_tensor.cc``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from serving.engines.modelserver.codes import Refused, invalid
from serving.engines.modelserver.dense import dense, is_bytes

Arrays = dict[str, NDArray[Any]]


class Body(NamedTuple):
    """A parsed body: the signature, the format, and the values, still as JSON."""

    signature: str
    by_row: bool
    values: Any


def parse(content: bytes) -> Body:
    """Parse a predict body.

    >>> parse(b'{"instances": [1.5]}')
    Body(signature='', by_row=True, values=[1.5])

    Raises
    ------
    Refused
        INVALID_ARGUMENT with TF Serving's text.
    """
    body = document(content)
    signature = body.get("signature_name", "")
    if "instances" in body and "inputs" in body:
        raise invalid(
            f"JSON Value: {_shortened(body)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if "instances" in body:
        return Body(signature, True, _instances(body))
    if "inputs" in body:
        return Body(signature, False, body["inputs"])
    raise invalid("Missing 'inputs' or 'instances' key")


def document(content: bytes) -> dict[str, Any]:
    """The JSON object of a body, its ``signature_name`` checked to be text.

    Raises
    ------
    Refused
        INVALID_ARGUMENT with TF Serving's text.
    """
    if not content:
        raise invalid("JSON Parse error: The document is empty")
    body = _json(content)
    if not isinstance(body, dict):
        raise invalid(f"JSON Value: {_shortened(body)} Is not object")
    if not isinstance(body.get("signature_name", ""), str):
        raise invalid(
            f"JSON Value: {_shortened(body)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return body


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        # orjson refuses NaN and Infinity, which TF Serving takes; the slow reader knows them.
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise invalid(f"JSON Parse error: {error}") from error


def _instances(body: dict[str, Any]) -> list[Any]:
    instances = body["instances"]
    if not isinstance(instances, list):
        raise invalid(f"JSON Value: {_shortened(body)} Excepting 'instances' to be an list/array")
    if not instances:
        raise invalid(f"JSON Value: {_shortened(body)} No values in 'instances' array")
    return instances


def to_arrays(body: Body, codes: Mapping[str, int]) -> Arrays:
    """Convert a body to arrays; `codes` maps each input of the signature to TensorFlow's type."""
    return _rows(body.values, codes) if body.by_row else _columns(body.values, codes)


def _rows(instances: list[Any], codes: Mapping[str, int]) -> Arrays:
    first = instances[0]
    if not isinstance(first, dict) and len(codes) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    if isinstance(first, dict) and not is_bytes(first):
        return _named_rows(instances, codes)
    for position, row in enumerate(instances):
        if isinstance(row, dict) and not is_bytes(row):
            raise invalid(f"Expecting value/list but got object at item {position} of input list")
    name, code = next(iter(codes.items()))
    try:
        return {name: dense(instances, code)}
    except Refused as refused:
        raise _locate_error(instances, None, code, refused) from refused


def _named_rows(instances: list[Any], codes: Mapping[str, int]) -> Arrays:
    names = codes.keys()
    for position, row in enumerate(instances):
        if not isinstance(row, dict) or is_bytes(row):
            raise invalid(f"Expecting object but got list at item {position} of input list")
        if row.keys() != names:
            raise _wrong_keys(position, row, codes)
    arrays = {}
    for name, code in codes.items():
        column = [row[name] for row in instances]
        try:
            arrays[name] = dense(column, code)
        except Refused as refused:
            raise _locate_error(column, name, code, refused) from refused
    return arrays


def _wrong_keys(position: int, row: dict[str, Any], codes: Mapping[str, int]) -> Refused:
    extra = sorted(row.keys() - codes.keys())
    if extra:
        return invalid(
            f"Failed to process element: {position} key: {extra[0]} of 'instances' list. "
            f"Error: INVALID_ARGUMENT: JSON object: does not have named input: {extra[0]}"
        )
    return invalid(
        f"Failed to process element: {position} of 'instances' list. "
        f"JSON object: {_shortened(row)} keys must be equal to: {','.join(sorted(codes))}"
    )


def _locate_error(column: list[Any], name: str | None, code: int, column_error: Refused) -> Refused:
    """The error of a column, reported for the first element that causes it."""
    key = "" if name is None else f" key: {name}"
    for position, value in enumerate(column):
        try:
            dense(value, code)
        except Refused as refused:
            return invalid(
                f"Failed to process element: {position}{key} of 'instances' list. "
                f"Error: INVALID_ARGUMENT: {refused.message}"
            )
    return invalid(f"{column_error.message}{key}")


def _columns(values: Any, codes: Mapping[str, int]) -> Arrays:
    if isinstance(values, dict) and not is_bytes(values):
        for name in codes:
            if name not in values:
                raise invalid(f"Missing named input: {name} in 'inputs' object.")
        return {name: dense(values[name], code) for name, code in codes.items()}
    if len(codes) > 1:
        raise invalid(
            "inputs is a plain value/list, but expecting an object as multiple "
            "input tensors required as per tensorinfo_map"
        )
    name, code = next(iter(codes.items()))
    return {name: dense(values, code)}


def render(outputs: Arrays, *, by_row: bool) -> bytes:
    """Render the response body as JSON.

    Raises
    ------
    Refused
        INVALID_ARGUMENT when rows are requested and outputs differ in their first dimension.
    """
    values = {name: _jsonable(name, array) for name, array in outputs.items()}
    if by_row:
        response: dict[str, Any] = {"predictions": _by_row(outputs, values)}
    else:
        response = {"outputs": values if len(values) > 1 else next(iter(values.values()))}
    if all(_finite(array) for array in outputs.values()):
        return orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(response, default=lambda array: array.tolist()).encode()


def _by_row(outputs: Arrays, values: Mapping[str, Any]) -> Any:
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
    if len(values) == 1:
        return next(iter(values.values()))
    names = list(values)
    return [dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _finite(array: NDArray[Any]) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _jsonable(name: str, array: NDArray[Any]) -> Any:
    """Arrays stay arrays (orjson writes them); bytes become text or base64 objects."""
    if not array.dtype.hasobject:
        return array.astype(np.float32) if array.dtype == np.float16 else array
    return _texts(array.tolist(), as_bytes=name.endswith("_bytes"))


def _texts(values: Any, *, as_bytes: bool) -> Any:
    if isinstance(values, list):
        return [_texts(value, as_bytes=as_bytes) for value in values]
    if not as_bytes:
        try:
            return values.decode("utf-8")
        except UnicodeDecodeError:
            pass  # TF Serving would write broken JSON here
    return {"b64": base64.b64encode(values).decode("ascii")}


def _shortened(value: Any) -> str:
    """JSON for an error text, shortened."""
    shown = json.dumps(value)
    return shown if len(shown) <= 200 else shown[:200] + "..."


def names_of(arrays: Sequence[str]) -> str:
    """Format names as TF Serving lists them in errors.

    >>> names_of(["b", "a"])
    '{a,b}'
    """
    return "{" + ",".join(sorted(arrays)) + "}"
