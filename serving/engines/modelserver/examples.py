"""Reads the bodies of classify and regress requests, and writes their responses.

Examples are JSON objects of features: whole numbers and booleans become int64 features, numbers
with a point float features, texts and ``{"b64": "..."}`` bytes features. Source:
``FillClassifyRegressRequestFromJson``, ``MakeJsonFromClassificationResult`` and
``MakeJsonFromRegressionResult`` of ``util/json_tensor.cc``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from serving.engines.modelserver.codes import invalid
from serving.engines.modelserver.dense import base64_bytes, is_bytes, json_type
from serving.engines.modelserver.json_text import decimal, shown
from serving.engines.modelserver.protos import Input
from serving.engines.modelserver.rows import Body

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read_examples(body: Body) -> Any:
    """The ``Input`` of a body.

    Raises
    ------
    Refused
        INVALID_ARGUMENT with TF Serving's text.
    """
    members, source = body.members, Input()
    if "context" in members:
        _fill(source.example_list_with_context.context, members["context"])
    if "examples" not in members:
        raise invalid(
            f"JSON Value: {shown(members)} When method is classify, key 'examples' is expected "
            "and was not found"
        )
    rows = members["examples"]
    if not isinstance(rows, list):
        raise invalid(
            f"JSON Value: {shown(members)} Expecting 'examples' value to be an list/array"
        )
    if not rows:
        raise invalid(f"JSON Value: {shown(members)} 'examples' value is an empty array")
    with_context = "context" in members
    target = source.example_list_with_context if with_context else source.example_list
    for row in rows:
        _fill(target.examples.add(), row)
    return source


def _fill(example: Any, value: Any) -> None:
    """Fill an ``Example`` (``MakeExampleFromJsonObject``)."""
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {json_type(value)}")
    for name, content in value.items():
        feature = example.features.feature[name]
        for item in content if isinstance(content, list) else [content]:
            _add(feature, name, item)


def _add(feature: Any, name: str, value: Any) -> None:
    """Add one value to a feature (``AddValueToFeature``)."""
    if (
        value is None
        or isinstance(value, list)
        or (isinstance(value, dict) and not is_bytes(value))
    ):
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {json_type(value)}")
    kind = _kind_of(value)
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        raise invalid(
            f"Unexpected element type in feature: {name} expecting type: {_KINDS[present]}"
        )
    if kind == "int64_list" and value >= 1 << 63:
        raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    if kind == "bytes_list":
        value = _bytes(value)
    elif kind == "float_list":
        with np.errstate(over="ignore"):
            value = float(np.float32(value))  # infinity beyond the range of float32
    else:
        value = int(value)
    getattr(feature, kind).value.append(value)


def _kind_of(value: Any) -> str:
    if isinstance(value, float):
        return "float_list"
    return "int64_list" if isinstance(value, int) else "bytes_list"


def _bytes(value: Any) -> bytes:
    if isinstance(value, dict):
        return base64_bytes(value)
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else bytes(value)


def write_classifications(result: Any) -> bytes:
    """The body for a ``ClassificationResult``: label and score of each class of each example."""
    if not result.classifications:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    rows = (
        ", ".join(f"[{_text(entry.label)}, {_decimal(entry.score)}]" for entry in item.classes)
        for item in result.classifications
    )
    return _results(f"[{row}]" for row in rows)


def write_regressions(result: Any) -> bytes:
    """The body for a ``RegressionResult``: one number for each example."""
    if not result.regressions:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    return _results(_decimal(item.value) for item in result.regressions)


def _results(values: Any) -> bytes:
    return f'{{"results": [{", ".join(values)}]}}'.encode()


def _text(label: str) -> str:
    return orjson.dumps(label).decode()


def _decimal(value: float) -> str:
    return decimal(np.float32(value))
