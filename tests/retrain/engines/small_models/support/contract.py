"""The contract: a text, a category and a number give the name of a team."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrain.models.code import ModelCode
from streaming.contracts.model import FeatureSpec
from streaming.contracts.task import Task

TASK = Task(kind="multiclass", classes=("billing", "fault", "other", "sales"))


def outcome(fields: Mapping[str, Any]) -> str | None:
    """The team's name; None when the record has none."""
    team = fields.get("team")
    return team if isinstance(team, str) else None


CODE = ModelCode(
    features=(
        FeatureSpec(name="subject", kind="text", categorical=True, required=True),
        FeatureSpec(name="priority", kind="integer", categorical=True),
        FeatureSpec(name="minutes", kind="number"),
        FeatureSpec(name="never_sent", kind="number"),
        FeatureSpec(name="tags", kind="text", categorical=True, multivalent=True),
    ),
    schema=Path(__file__).with_name("schema.pbtxt"),
    preprocessing_fn=f"{__package__}.model.preprocessing_fn",
    build_model=f"{__package__}.model.build_model",
    task=TASK,
    label="team",
    label_columns=("team",),
    outcome=outcome,
    slices=("priority",),
)
