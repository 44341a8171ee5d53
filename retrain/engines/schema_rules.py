"""Reads from a schema's text what it requires of every row, and the kinds of the label's fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retrain.models.code import ModelCode
from retrain.row_rules import ColumnRule
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import FeatureKind, FeatureSpec


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


def label_kinds(code: ModelCode) -> tuple[FeatureSpec, ...]:
    """The label fields that a model's code names, with their kinds from its schema.

    Raises
    ------
    ConfigurationError
        When the schema does not describe one of them.
    """
    from tensorflow_metadata.proto.v0 import schema_pb2

    kinds: dict[int, FeatureKind] = {
        schema_pb2.INT: "integer",
        schema_pb2.FLOAT: "number",
        schema_pb2.BYTES: "text",
    }
    types = {feature.name: feature.type for feature in read_schema(code.schema).feature}
    unknown = [name for name in code.label_columns if types.get(name) not in kinds]
    if unknown:
        raise ConfigurationError(
            f"{code.schema} does not give a type to the label field(s) {', '.join(unknown)}; "
            "describe each as a feature of type INT, FLOAT or BYTES."
        )
    return tuple(FeatureSpec(name=name, kind=kinds[types[name]]) for name in code.label_columns)
