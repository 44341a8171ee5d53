"""Batch, epochs and order of a training."""

from __future__ import annotations

import numpy as np
import pytest

from retrain.engines.tfx.training_plan import EPOCHS, plan_of
from streaming.contracts.errors import GateFailedError


@pytest.mark.parametrize("rows", [1, 5, 31, 33, 1_000, 200_000])
@pytest.mark.parametrize("devices", [1, 2, 3])
def test_a_plan_fits_its_rows_and_its_steps(rows: int, devices: int) -> None:
    if rows < devices:
        with pytest.raises(GateFailedError, match=r"for \d devices"):
            plan_of(rows, {}, batch=256, steps=800, devices=devices)
        return
    plan = plan_of(rows, {}, batch=256, steps=800, devices=devices)
    assert plan.batch % devices == 0
    assert 0 < plan.batch * plan.epoch_steps <= rows
    assert plan.epochs * plan.epoch_steps <= max(800, EPOCHS[1])


def test_an_epochs_order_is_its_own_and_repeatable() -> None:
    plan = plan_of(1_000, {}, batch=64, steps=800)
    order = plan.order(3)
    assert order.shape == (plan.epoch_steps, plan.batch)
    assert len(np.unique(order)) == order.size
    np.testing.assert_array_equal(order, plan.order(3))
    assert (order != plan.order(4)).any()


def test_hyperparameters_replace_the_defaults() -> None:
    values = {"batch": 50, "epochs": 7, "learning_rate": 0.5}
    assert plan_of(10_000, values, batch=256, steps=800).hyperparameters() == values
