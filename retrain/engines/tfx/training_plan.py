"""Pure: batch, epochs and seeds of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streaming.contracts.errors import GateFailedError

SEED = 20130101
LEARNING_RATE = 0.01
"""Adam's first step size, unless a hyperparameter ``learning_rate`` is given."""

STEPS = 300
"""Steps that a small training set gets at least, as several epochs."""

EPOCHS = (6, 40)
"""Fewest and most epochs. Early stopping ends most trainings before the bound."""

STALE_EPOCHS = 3
"""Epochs without a better validation loss after which training stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What decides a training besides the net and the rows."""

    rows: int
    """Number of training rows."""
    batch: int
    """Rows of one step, over all devices together."""
    epoch_steps: int
    """Steps of one epoch. Rows that fill no batch wait for another epoch, which has another
    order."""
    epochs: int
    """Most epochs."""
    learning_rate: float
    """Adam's first step size; it falls to 0 along a cosine."""
    stale_epochs: int = STALE_EPOCHS
    seed: int = SEED

    def order(self, epoch: int) -> Any:
        """Row numbers of an epoch's steps, int64 [epoch_steps, batch]; the same whenever asked."""
        generator = np.random.default_rng((self.seed, epoch))
        rows = generator.permutation(self.rows)[: self.epoch_steps * self.batch]
        return rows.reshape(self.epoch_steps, self.batch)

    def hyperparameters(self) -> dict[str, Any]:
        """The values in force, as hyperparameters."""
        return {
            "batch": self.batch, "epochs": self.epochs, "learning_rate": self.learning_rate
        }  # fmt: skip


def plan_of(
    rows: int, values: Mapping[str, Any], *, batch: int, steps: int, devices: int = 1
) -> Plan:
    """The plan for a number of training rows.

    Parameters
    ----------
    rows:
        Number of training rows.
    values:
        Hyperparameters; ``batch``, ``epochs`` and ``learning_rate`` are used.
    batch:
        Largest number of rows of one step, unless a hyperparameter says it.
    steps:
        Most steps.
    devices:
        Number of devices that share a step; the batch is a multiple of it.

    Raises
    ------
    GateFailedError
        When there are fewer rows than devices.

    >>> plan_of(10_000, {}, batch=256, steps=800).epochs
    8
    >>> plan_of(10_000, {"batch": 100, "epochs": 2}, batch=256, steps=800, devices=3).batch
    99
    """
    if rows < devices:
        raise GateFailedError(
            f"There are {rows} training rows for {devices} devices; train on one device."
        )
    size = min(int(values.get("batch", batch)), max(32, rows // 16), rows)
    size = max(1, size // devices) * devices
    epoch_steps = max(1, rows // size)
    epochs = min(max(EPOCHS[0], -(-STEPS // epoch_steps)), EPOCHS[1])
    epochs = int(values.get("epochs", max(1, min(epochs, steps // epoch_steps))))
    return Plan(
        rows=rows,
        batch=size,
        epoch_steps=min(steps, epoch_steps),
        epochs=max(1, epochs),
        learning_rate=float(values.get("learning_rate", LEARNING_RATE)),
    )
