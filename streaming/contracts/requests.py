"""How an event becomes one row of a prediction request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streaming.contracts.model import MISSING, FeatureSpec


def instance(features: tuple[FeatureSpec, ...], values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """One row of a prediction request in TF Serving's row format, with missing values filled in.

    Unknown fields of `values` are left out, because the server refuses names that the model lacks.
    Encode it with `json.dumps`: missing numbers are NaN, which TF Serving accepts.

    >>> spec = FeatureSpec(name="fare", kind="number"), FeatureSpec(name="company", kind="text")
    >>> instance(spec, {"fare": 12.5, "tips": 3})
    {'fare': [12.5], 'company': ['']}
    """
    row: dict[str, list[Any]] = {}
    for spec in features:
        value = values.get(spec.name)
        row[spec.name] = [MISSING[spec.kind] if value is None else value]
    return row
