"""Targets, losses and served outputs of each task's head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.task import BINARY, Task

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

TEAMS = Task(kind="multiclass", classes=("a", "b", "c"))
COUNTS = Task(kind="regression", loss="poisson")
QUANTILES = Task(kind="regression", loss="quantile", quantiles=(0.1, 0.5, 0.9))


def head(task: Task) -> Any:
    """The head; importing Keras takes seconds."""
    from retrain.models.heads import head_of

    return head_of(task)


def test_labels_that_are_none_of_the_tasks_have_no_target() -> None:
    binary = head(BINARY).targets(np.array([[0], [1], [2]]))
    assert binary[:2].tolist() == [[0.0], [1.0]]
    teams = head(TEAMS).targets(np.array([[b"c"], [b"a"], [b"other"]]))
    assert teams[:2].tolist() == [[2.0], [0.0]]
    counts = head(COUNTS).targets(np.array([[2.0], [6.0], [-1.0]]))
    assert counts[:2].tolist() == [[0.5], [1.5]], "scaled by the mean"
    assert all(np.isnan(targets[2, 0]) for targets in (binary, teams, counts))


def test_the_evaluation_gets_the_number_of_the_class() -> None:
    import tensorflow as tf

    numbers = head(TEAMS).label(tf.constant([["c"], ["a"], ["other"]])).numpy().ravel()
    assert numbers[:2].tolist() == [2.0, 0.0]
    assert np.isnan(numbers[2])


@pytest.mark.parametrize("task", [Task(kind="regression"), QUANTILES, COUNTS])
def test_a_net_that_reaches_its_targets_serves_the_labels(task: Task) -> None:
    import tensorflow as tf

    labels = np.array([[1e6], [3e6], [8e6]])
    own = head(task)
    targets = own.targets(labels)
    assert np.abs(targets).max() < 3.0, "a net learns numbers of this size quickly"
    values = tf.constant(np.repeat(targets, own.width, axis=1))
    served = own.outputs(values)["predictions"].numpy()
    np.testing.assert_allclose(served, np.repeat(labels, own.width, axis=1), rtol=1e-6)


def test_quantiles_that_cross_are_sorted() -> None:
    import tensorflow as tf

    served = head(QUANTILES).outputs(tf.constant([[0.3, 0.1, 0.2]]))["predictions"]
    assert served.numpy()[0].tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_the_pinball_loss_is_smallest_at_the_quantile() -> None:
    import tensorflow as tf

    from retrain.models.heads import pinball_loss

    labels = np.random.default_rng(1).exponential(size=(4_000, 1)).astype(np.float32)
    loss = pinball_loss((0.9,))

    def mean(value: float) -> float:
        return float(tf.reduce_mean(loss(labels, np.full_like(labels, value))))

    best = float(np.quantile(labels, 0.9))
    assert mean(best) < min(mean(best - 0.3), mean(best + 0.3))


@pytest.mark.parametrize("task", [BINARY, TEAMS, COUNTS, QUANTILES])
def test_a_net_without_the_tasks_head_is_refused_with_the_shape_it_needs(task: Task) -> None:
    import keras

    from retrain.models.heads import checked_width

    own = head(task)
    inputs = keras.Input((4,))
    good = keras.Model(inputs, own.layer(inputs))
    assert checked_width(good, own) is good
    bad = keras.Model(inputs, keras.layers.Dense(7)(inputs))
    for returned in (bad, None):
        with pytest.raises(ConfigurationError, match=rf"\(None, {own.width}\)"):
            checked_width(returned, own)
