"""The contract: an item's name and a price give whether the order is sent back."""

from __future__ import annotations

from pathlib import Path

from retrain.models.code import ModelCode
from streaming.contracts.model import FeatureSpec

CODE = ModelCode(
    features=(
        FeatureSpec(name="item", kind="text", categorical=True, required=True),
        FeatureSpec(name="price", kind="number"),
    ),
    schema=Path(__file__).with_name("schema.pbtxt"),
    preprocessing_fn=f"{__package__}.model.preprocessing_fn",
    build_model=f"{__package__}.model.build_model",
    label="returned",
    label_columns=("returned",),
)
