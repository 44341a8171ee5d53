"""What the Trainer needs to know of a model's code and of the owner's wishes, as JSON in TFX's
``custom_config``."""

from __future__ import annotations

from typing import Any

import msgspec

from retrain.models.code import ModelCode
from retrain.models.code_digest import code_digest
from retrain.training_options import TrainingOptions, TunerOptions
from streaming.contracts.model import FeatureSpec
from streaming.contracts.task import Task

__all__ = [
    "PLATFORM_TRAINER",
    "NetJob",
    "TrainedCode",
    "TrainingOptions",
    "TunerOptions",
    "custom_config",
    "read_config",
]

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
    code_digest: str = ""
    """Digest of the model's code; see `retrain.models.code_digest`."""


class NetJob(msgspec.Struct, frozen=True, kw_only=True):
    """One training of a net, for this process or another."""

    code: TrainedCode
    values: dict[str, Any]
    """Hyperparameters."""
    batch: int
    """Most rows of one step."""
    steps: int
    """Most steps."""
    options: TrainingOptions = TrainingOptions()
    base: str = ""
    """Folder of a SavedModel whose weights are the first ones; empty = random ones."""
    rows_digest: str = ""
    """Digest of the rows; a checkpoint of other rows is ignored."""


def custom_config(
    code: ModelCode, *, model: str, batch: int, options: TrainingOptions | None = None
) -> dict[str, object]:
    """TFX's ``custom_config`` for a model's training."""
    trained = TrainedCode(
        model=model,
        label=code.label,
        features=code.features,
        task=code.task,
        build_model=code.build_model,
        code_digest=code_digest(code),
    )
    return {
        "code": msgspec.json.encode(trained).decode(),
        "batch": batch,
        "options": msgspec.json.encode(options or TrainingOptions()).decode(),
    }


def read_config(config: dict[str, Any]) -> tuple[TrainedCode, int, TrainingOptions]:
    """The code, the batch and the options of a ``custom_config``."""
    options = config.get("options", "{}")
    return (
        msgspec.json.decode(config["code"], type=TrainedCode),
        int(config["batch"]),
        msgspec.json.decode(options, type=TrainingOptions),
    )
