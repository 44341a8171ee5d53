"""Reads from a schema's text what it requires of every row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retrain.row_rules import ColumnRule


def read_schema(file: Path) -> Any:
    """The schema proto in a text file."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    return text_format.Parse(file.read_text(), schema_pb2.Schema())


def column_rules(schema: Any) -> dict[str, ColumnRule]:
    """The rule of each column that has one.

    A column is required in every row when the schema's smallest share of present values is 1.
    """
    from tensorflow_metadata.proto.v0 import schema_pb2

    rules = {}
    for feature in schema.feature:
        low, high = domain_bounds(feature)
        rule = ColumnRule(
            name=feature.name,
            required=feature.presence.min_fraction >= 1.0,
            low=low,
            high=high,
            integer=feature.type == schema_pb2.INT,
        )
        if rule.required or low > float("-inf") or high < float("inf"):
            rules[feature.name] = rule
    return rules


def domain_bounds(feature: Any) -> tuple[float, float]:
    """Smallest and largest value of a number; infinite where there is no bound."""
    kind = feature.WhichOneof("domain_info")
    low, high = float("-inf"), float("inf")
    if kind in ("float_domain", "int_domain"):
        domain = getattr(feature, kind)
        low = domain.min if domain.HasField("min") else low
        high = domain.max if domain.HasField("max") else high
    return low, high
