"""What the Trainer needs to know of a model's code, as JSON in TFX's ``custom_config``."""

from __future__ import annotations

import msgspec

from retrain.models.code import ModelCode
from streaming.contracts.model import FeatureSpec
from streaming.contracts.task import Task

PLATFORM_TRAINER = "retrain.engines.tfx.net_trainer.run_fn"
"""Dotted path of the Trainer function for models that bring only ``build_model``."""


class TrainedCode(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a `ModelCode` that training and export use."""

    model: str
    """Name of the model."""
    label: str
    features: tuple[FeatureSpec, ...]
    task: Task
    build_model: str


def custom_config(code: ModelCode, *, model: str, batch: int) -> dict[str, object]:
    """TFX's ``custom_config`` for a model's training."""
    trained = TrainedCode(
        model=model,
        label=code.label,
        features=code.features,
        task=code.task,
        build_model=code.build_model,
    )
    return {"code": msgspec.json.encode(trained).decode(), "batch": batch}
