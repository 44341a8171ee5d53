"""What the platform's trainer refuses, and that it learns; whole runs are in `test_tasks`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streaming.contracts.errors import ConfigurationError, GateFailedError
from streaming.contracts.task import Task

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

ROWS = 2_000
TASK = Task(kind="multiclass", classes=("low", "high"))


def net(units: int = 16) -> tuple[Any, Any]:
    """An untrained net on two numbers, and its head."""
    import keras

    from retrain.models.heads import head_of

    head = head_of(TASK)
    inputs = {"x": keras.Input((2,), name="x")}
    hidden = keras.layers.Dense(units, activation="relu")(inputs["x"])
    return keras.Model(inputs, head.layer(hidden)), head


def columns(**changed: Any) -> dict[str, Any]:
    x = np.random.default_rng(1).normal(size=(ROWS, 2)).astype(np.float32)
    names = np.where(x.sum(axis=1) > 0.0, b"high", b"low")[:, np.newaxis]
    return {"x": x, "label": names} | changed


def test_a_separable_label_is_learnt() -> None:
    from retrain.engines.tfx.net_trainer import fit
    from retrain.engines.tfx.training_data import usable_rows

    model, head = net()
    data = usable_rows(columns(), head, "label")
    fit(model, data, head, {}, batch=256, steps=800)
    predicted = model.predict(data.columns, verbose=0).argmax(axis=1)
    assert (predicted == data.targets.ravel()).mean() > 0.97


def test_rows_that_are_divided_are_those_of_a_split_and_are_held_once() -> None:
    from retrain.engines.tfx.training_data import usable_rows

    head = net()[1]
    data = usable_rows(columns(), head, "label")
    expected, kept = data.split()
    training, validation = data.divided()
    for part, of_split in ((training, expected), (validation, kept)):
        assert np.array_equal(part.columns["x"], of_split.columns["x"])
        assert np.array_equal(part.targets, of_split.targets)
    assert data.columns == {}
    assert len(data) == ROWS
    assert not np.shares_memory(validation.columns["x"], training.columns["x"].base)


def test_the_loop_takes_the_rows_to_train_on_out_of_its_argument() -> None:
    from retrain.engines.tfx.training_data import usable_rows
    from retrain.engines.tfx.training_loop import TrainingLoop, compile_net
    from retrain.engines.tfx.training_plan import plan_of

    model, head = net()
    data = usable_rows(columns(), head, "label")
    training, validation = data.split()
    plan = plan_of(len(training), {}, batch=256, steps=5)
    compile_net(model, head, plan)
    TrainingLoop(model, training, validation, plan)
    assert training.columns == {}
    assert set(data.columns) == {"x"}, "the caller's rows stay"


def test_a_model_that_is_compiled_already_keeps_its_optimiser() -> None:
    import keras

    from retrain.engines.tfx.net_trainer import fit
    from retrain.engines.tfx.training_data import usable_rows

    model, head = net()
    optimiser = keras.optimizers.SGD(0.1)
    model.compile(optimiser, head.loss())
    fit(model, usable_rows(columns(), head, "label"), head, {}, batch=256, steps=5)
    assert model.optimizer is optimiser


def test_a_loss_that_is_no_number_fails_the_training() -> None:
    from retrain.engines.tfx.net_trainer import fit
    from retrain.engines.tfx.training_data import usable_rows

    model, head = net()
    data = usable_rows(columns(), head, "label")
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with pytest.raises(GateFailedError, match="the loss is nan after 1 epochs"):
        fit(model, data, head, {}, batch=256, steps=800)


def test_inputs_that_are_no_numbers_are_named_with_their_count() -> None:
    from retrain.engines.tfx.training_data import usable_rows

    x = columns()["x"]
    x[7, 1] = np.nan
    with pytest.raises(GateFailedError, match="column x has 1 values that are no numbers"):
        usable_rows(columns(x=x), net()[1], "label")


@pytest.mark.parametrize("unknown", [20, 21])
def test_a_hundredth_of_unknown_labels_is_left_out_and_more_are_refused(unknown: int) -> None:
    from retrain.engines.tfx.training_data import usable_rows

    names = columns()["label"]
    names[:unknown] = b"odd"
    if unknown <= ROWS // 100:
        assert len(usable_rows(columns(label=names), net()[1], "label")) == ROWS - unknown
        return
    with pytest.raises(GateFailedError, match="21 of 2000 training rows have a label"):
        usable_rows(columns(label=names), net()[1], "label")


def test_a_column_that_is_not_dense_and_a_label_that_is_absent_are_refused() -> None:
    import tensorflow as tf

    from retrain.engines.tfx.training_data import net_inputs

    dense = tf.io.FixedLenFeature([3], tf.float32)
    inputs = net_inputs({"a": dense, "y": dense}, label="y")
    assert {name: tuple(i.shape) for name, i in inputs.items()} == {"a": (None, 3)}
    with pytest.raises(ConfigurationError, match=r"no column 'y'.* it returns a"):
        net_inputs({"a": dense}, label="y")
    with pytest.raises(ConfigurationError, match="returns a without filling in missing"):
        net_inputs({"a": tf.io.VarLenFeature(tf.float32), "y": dense}, label="y")
