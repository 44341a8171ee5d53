"""The contract: hour, shop and price give a number of units."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrain.models.code import ModelCode
from streaming.contracts.model import FeatureSpec
from streaming.contracts.task import Task


def outcome(fields: Mapping[str, Any]) -> float | None:
    """The number of units; None when the record has none."""
    units = fields.get("units")
    return float(units) if isinstance(units, int | float) else None


CODE = ModelCode(
    features=(
        FeatureSpec(name="hour", kind="integer", required=True),
        FeatureSpec(name="shop", kind="text", categorical=True),
        FeatureSpec(name="price", kind="number"),
    ),
    schema=Path(__file__).with_name("schema.pbtxt"),
    preprocessing_fn=f"{__package__}.model.preprocessing_fn",
    build_model=f"{__package__}.model.build_model",
    task=Task(kind="regression", loss="quantile", quantiles=(0.1, 0.5, 0.9)),
    label="units",
    label_columns=("units",),
    outcome=outcome,
    entity="shop",
)
