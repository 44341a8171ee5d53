"""Reads the bodies of predict requests, in TF Serving's row and columnar formats.

Rows are ``{"instances": [...]}``, columns ``{"inputs": ...}``; bytes are ``{"b64": "..."}``.
Source: ``FillPredictRequestFromJson`` of ``util/json_tensor.cc``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from serving.engines.modelserver.codes import Refused, invalid
from serving.engines.modelserver.dense import (
    array_of,
    dense,
    fast,
    fill,
    is_bytes,
    shape_of,
)
from serving.engines.modelserver.json_reader import read
from serving.engines.modelserver.json_text import shown
from serving.engines.modelserver.tensors import STRING

Arrays = dict[str, NDArray[Any]]


class Body(NamedTuple):
    """A parsed body: the name of its signature, its members, and whether booleans may be in it."""

    signature: str
    members: dict[str, Any]
    booleans: bool

    @property
    def by_row(self) -> bool:
        """Whether the body has rows, and its response too."""
        return "instances" in self.members


def parse(content: bytes) -> Body:
    """Parse the body of a predict, classify or regress request.

    >>> parse(b'{"instances": [1.5]}')
    Body(signature='', members={'instances': [1.5]}, booleans=False)

    Raises
    ------
    Refused
        INVALID_ARGUMENT with TF Serving's text.
    """
    members = read(content)
    if not isinstance(members, dict):
        raise invalid(f"JSON Value: {shown(members)} Is not object")
    signature = members.get("signature_name", "")
    if isinstance(signature, bytes):
        signature = signature.decode("utf-8", "replace")
    if not isinstance(signature, str):
        raise invalid(
            f"JSON Value: {shown(members)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return Body(signature, members, b"true" in content or b"false" in content)


def to_arrays(body: Body, codes: Mapping[str, int]) -> Arrays:
    """Convert a body to arrays; `codes` maps each input of the signature to TensorFlow's type.

    Raises
    ------
    Refused
        INVALID_ARGUMENT with TF Serving's text, UNIMPLEMENTED for types without a JSON form.
    """
    members = body.members
    if not codes:
        raise invalid(f"Failed to get input map for signature: {body.signature or 'DEFAULT'}")
    if body.by_row:
        if "inputs" in members:
            raise invalid(
                f"JSON Value: {shown(members)} Not formatted correctly expecting only one of "
                "'inputs' or 'instances' keys to exist "
            )
        return _rows(_instances(members), codes, booleans=body.booleans)
    if "inputs" in members:
        return _columns(members["inputs"], codes, booleans=body.booleans)
    raise invalid("Missing 'inputs' or 'instances' key")


def _instances(members: dict[str, Any]) -> list[Any]:
    instances = members["instances"]
    if not isinstance(instances, list):
        raise invalid(f"JSON Value: {shown(members)} Expecting 'instances' to be an list/array")
    if not instances:
        raise invalid(f"JSON Value: {shown(members)} No values in 'instances' array")
    return instances


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_bytes(value)


def _rows(instances: list[Any], codes: Mapping[str, int], *, booleans: bool) -> Arrays:
    if not isinstance(instances[0], dict) and len(codes) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    arrays: Arrays = {}
    try:
        for name, column in _columns_of(instances, codes).items():
            array = _column(column, codes[name], booleans=booleans)
            if array is None:
                return _row_by_row(instances, codes)
            arrays[name] = array
    except Refused:
        return _row_by_row(instances, codes)
    return arrays or _row_by_row(instances, codes)


def _columns_of(instances: list[Any], codes: Mapping[str, int]) -> dict[str, list[Any]]:
    """The values of each input; none when a row differs from the others."""
    if not _is_object(instances[0]):
        name = next(iter(codes))
        return {} if any(map(_is_object, instances)) else {name: instances}
    names = codes.keys()
    if not all(isinstance(row, dict) and row.keys() == names for row in instances):
        return {}
    return {name: [row[name] for row in instances] for name in names}


def _column(values: list[Any], code: int, *, booleans: bool) -> NDArray[Any] | None:
    return dense(values, code) if code == STRING else fast(values, code, booleans=booleans)


def _row_by_row(instances: list[Any], codes: Mapping[str, int]) -> Arrays:
    """As TF Serving converts rows (``FillTensorMapFromInstancesList``): one after another."""
    objects = _is_object(instances[0])
    columns: dict[str, _Column] = {}
    for position, row in enumerate(instances):
        if objects and not _is_object(row):
            raise invalid(f"Expecting object but got list at item {position} of input list")
        if not objects and _is_object(row):
            raise invalid(f"Expecting value/list but got object at item {position} of input list")
        items = row if objects else {next(iter(codes)): row}
        for name, value in items.items():
            try:
                _add(columns, name, value, codes)
            except Refused as refused:
                key = f" key: {name}" if objects else ""
                raise invalid(
                    f"Failed to process element: {position}{key} of 'instances' list. "
                    f"Error: {refused.code.name}: {refused.message}"
                ) from refused
        if objects and row.keys() != codes.keys():
            raise invalid(
                f"Failed to process element: {position} of 'instances' list. JSON object: "
                f"{shown(row)} keys must be equal to: {','.join(sorted(codes))}"
            )
    return {
        name: array_of(column.values, (len(instances), *column.shape), codes[name])
        for name, column in columns.items()
    }


class _Column(NamedTuple):
    """The values of one input, the shape and the size of a row."""

    values: list[Any]
    shape: tuple[int, ...]
    size: int


def _add(columns: dict[str, _Column], name: str, value: Any, codes: Mapping[str, int]) -> None:
    """Add the value of one row (``AddInstanceItem``)."""
    if name not in codes:
        raise invalid(f"JSON object: does not have named input: {name}")
    values: list[Any] = []
    shape = shape_of(value)
    fill(value, shape, codes[name], values)
    column = columns.setdefault(name, _Column([], shape, len(values)))
    if column.size != len(values):
        raise invalid(f"Expecting tensor size: {column.size} but got: {len(values)}")
    if column.shape != shape:
        raise invalid(f"Expecting shape {_shape(column.shape)} but got: {_shape(shape)}")
    column.values.extend(values)


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _columns(values: Any, codes: Mapping[str, int], *, booleans: bool) -> Arrays:
    if _is_object(values):
        for name in codes:
            if name not in values:
                raise invalid(f"Missing named input: {name} in 'inputs' object.")
        return {name: dense(values[name], code, booleans=booleans) for name, code in codes.items()}
    if len(codes) > 1:
        raise invalid(
            "inputs is a plain value/list, but expecting an object as multiple "
            "input tensors required as per tensorinfo_map"
        )
    name, code = next(iter(codes.items()))
    return {name: dense(values, code, booleans=booleans)}
