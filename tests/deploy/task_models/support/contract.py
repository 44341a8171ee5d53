"""The taxi model with another task: one of three classes."""

from dataclasses import replace

from retrain.models.big_tipper.contract import CODE as BIG_TIPPER
from streaming.contracts.task import Task

CODE = replace(
    BIG_TIPPER,
    task=Task(kind="multiclass", classes=("none", "small", "big")),
    outcome=lambda fields: "none" if not fields.get("tips") else "big",
)
