"""The model's features, label and references to its TFX code; imports no engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from retrain.models.code import ModelCode
from streaming.contracts.model import FeatureSpec

_PACKAGE = "retrain.models.big_tipper"

FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec(name="fare", kind="number", required=True),
    FeatureSpec(name="trip_miles", kind="number", required=True),
    FeatureSpec(name="trip_seconds", kind="integer", required=True),
    FeatureSpec(name="pickup_latitude", kind="number"),
    FeatureSpec(name="pickup_longitude", kind="number"),
    FeatureSpec(name="dropoff_latitude", kind="number"),
    FeatureSpec(name="dropoff_longitude", kind="number"),
    FeatureSpec(name="pickup_community_area", kind="integer", categorical=True),
    FeatureSpec(name="dropoff_community_area", kind="integer", categorical=True),
    FeatureSpec(name="payment_type", kind="text", categorical=True, required=True),
    FeatureSpec(name="company", kind="text", categorical=True),
    # The calendar changes by itself, so it is summarised and never judged.
    FeatureSpec(name="trip_start_month", kind="integer", categorical=True, judged=False),
    FeatureSpec(name="trip_start_day", kind="integer", categorical=True, judged=False),
    FeatureSpec(name="trip_start_hour", kind="integer", categorical=True, judged=False),
    FeatureSpec(name="trip_start_timestamp", kind="integer", judged=False),
    # Almost always missing, or an id, so there is nothing to judge.
    FeatureSpec(name="pickup_census_tract", kind="number", judged=False),
    FeatureSpec(name="dropoff_census_tract", kind="number", judged=False),
)
"""The columns of the Chicago taxi data, except the tip."""


def outcome(fields: Mapping[str, Any]) -> bool | None:
    """Whether the tip exceeds a fifth of the fare; None when the record lacks one of them.

    >>> outcome({"tips": 3.0, "fare": 12.5}), outcome({"tips": 3.0})
    (True, None)
    """
    tips, fare = fields.get("tips"), fields.get("fare")
    if not _is_number(tips) or not _is_number(fare):
        return None
    return bool(tips > 0.2 * fare)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


CODE = ModelCode(
    features=FEATURES,
    schema=Path(__file__).with_name("schema.pbtxt"),
    preprocessing_fn=f"{_PACKAGE}.big_tipper_preprocessing.preprocessing_fn",
    build_model=f"{_PACKAGE}.big_tipper_model.build_model",
    label="big_tipper",
    label_columns=("tips",),
    outcome=outcome,
    slices=("payment_type",),
)
