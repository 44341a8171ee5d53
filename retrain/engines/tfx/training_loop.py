"""The training loop: any number of devices or processes, stopped early, resumable.

It is a loop of its own because Keras' ``fit`` cannot run over several processes, and cannot go on
within an epoch with the same result. A step takes the rows of its batch from the columns in memory.
With several devices each takes its equal share of the batch. Keras' loss divides by the number of
devices, and its optimiser sums the gradients over them, so a step is the same on one device and on
many, up to rounding. Summing them here as well would double them without an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from retrain.engines.tfx.checkpoints import Arrays, Checkpoints, Progress
from retrain.engines.tfx.training_data import TrainingData
from retrain.engines.tfx.training_plan import Plan
from retrain.models.heads import Head
from streaming.contracts.errors import ConfigurationError, GateFailedError

CHUNK = 200
"""Steps between two looks at the clock for a checkpoint."""

_EVALUATED = 4096
"""Rows of one step of the validation."""

OnEpoch = Callable[[Progress, float], bool]
"""Called after each epoch with the progress and the learning rate; False ends the training."""


def compile_net(model: Any, head: Head, plan: Plan) -> None:
    """Give `model` loss and optimiser; one that ``build_model`` has compiled keeps its own.

    Call it in the strategy's scope.

    Raises
    ------
    ConfigurationError
        When the model has a training step of its own.
    """
    if type(model).train_step is not keras.Model.train_step:
        raise ConfigurationError(
            f"build_model returned a {type(model).__name__} with a train_step of its own, which the"
            " platform's trainer does not call. Write a run_fn that trains it."
        )
    if not model.compiled:
        schedule = keras.optimizers.schedules.CosineDecay(
            plan.learning_rate, plan.epochs * plan.epoch_steps
        )
        # Compiling by XLA would take longer than the training.
        model.compile(keras.optimizers.Adam(schedule), head.loss(), jit_compile=False)
    model.optimizer.build(model.trainable_variables)


class TrainingLoop:
    """Trains one net.

    Parameters
    ----------
    model:
        A compiled net, made in the scope of `strategy`.
    training, validation:
        Rows to train on, whose columns are taken out, so that they are in memory once; and rows
        (perhaps none) whose loss decides when to stop.
    plan:
        Batch, epochs and seed.
    strategy:
        The devices; None = TensorFlow's current ones.
    """

    def __init__(
        self,
        model: Any,
        training: TrainingData,
        validation: TrainingData,
        plan: Plan,
        *,
        strategy: Any = None,
    ) -> None:
        self._model = model
        self._plan = plan
        self._validation = validation
        self._strategy = strategy or tf.distribute.get_strategy()
        columns = training.columns
        self._columns = {name: tf.constant(columns.pop(name)) for name in [*columns]}
        self._targets = tf.constant(training.targets)
        # Any number of steps and of rows: another trace takes longer than a small training.
        order = tf.TensorSpec([None, plan.batch], tf.int64)
        self._steps = tf.function(self._run_steps, input_signature=[order])
        specs = {name: _any_rows(values) for name, values in self._columns.items()}
        self._validate = tf.function(
            self._losses, input_signature=[specs, _any_rows(self._targets)]
        )
        self._best: list[Any] = []

    def run(
        self,
        checkpoints: Checkpoints | None = None,
        on_epoch: OnEpoch = lambda progress, rate: True,
        *,
        writes: bool = True,
    ) -> Progress:
        """Train; the net has the weights of the best epoch at the end.

        Parameters
        ----------
        checkpoints:
            Where to go on from, and to save to; None = from the beginning, and nowhere.
        on_epoch:
            See `OnEpoch`.
        writes:
            Whether this process saves: one of several processes does.

        Raises
        ------
        GateFailedError
            When the loss is no number.
        """
        progress = self._restored(checkpoints)
        while progress.epoch < self._plan.epochs and progress.stale < self._plan.stale_epochs:
            order = self._plan.order(progress.epoch)
            while progress.step < len(order):
                chunk = order[progress.step : progress.step + CHUNK]
                progress.loss_sum += float(self._steps(tf.constant(chunk)))
                progress.step += len(chunk)
                if checkpoints and writes and checkpoints.is_due():
                    checkpoints.save(progress, self._arrays())
            self._close_epoch(progress)
            if checkpoints and writes and checkpoints.is_due():
                checkpoints.save(progress, self._arrays())
            if not on_epoch(progress, self._rate()):
                break
        _assign(self._model.variables, self._best)
        return progress

    def _close_epoch(self, progress: Progress) -> None:
        loss = progress.loss_sum / progress.step
        progress.loss.append(loss)
        progress.epoch, progress.step, progress.loss_sum = progress.epoch + 1, 0, 0.0
        if not np.isfinite(loss):
            raise GateFailedError(
                f"The training diverged: the loss is {loss} after {progress.epoch} epochs. Scale"
                " the inputs in preprocessing_fn, or lower the learning rate."
            )
        judged = loss
        if len(self._validation):
            judged = self._validation_loss()
            progress.val_loss.append(judged)
        if progress.best_loss is None or judged < progress.best_loss:
            progress.best_epoch, progress.best_loss, progress.stale = progress.epoch, judged, 0
            self._best = _values(self._model.variables)
        else:
            progress.stale += 1

    def _run_steps(self, order: Any) -> Any:
        """Sum of the losses of the steps whose row numbers are `order`, [steps, batch]."""
        total = tf.constant(0.0)
        for number in tf.range(tf.shape(order)[0]):
            losses = self._strategy.run(self._step, args=(order[number],))
            total += self._strategy.reduce("SUM", losses, axis=None)
        return total

    def _step(self, rows: Any) -> Any:
        """One replica's part of a step; its loss, already divided by the number of replicas."""
        context = tf.distribute.get_replica_context()
        share = self._plan.batch // context.num_replicas_in_sync
        mine = tf.slice(rows, [context.replica_id_in_sync_group * share], [share])
        columns = {name: tf.gather(values, mine) for name, values in self._columns.items()}
        targets = tf.gather(self._targets, mine)
        model = self._model
        with tf.GradientTape() as tape:
            predicted = model(columns, training=True)
            loss = model.compute_loss(columns, targets, predicted, training=True)
            scaled = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_weights)
        model.optimizer.apply(gradients, model.trainable_weights)
        return tf.cast(loss, tf.float32)

    def _losses(self, columns: Any, targets: Any) -> Any:
        predicted = self._model(columns, training=False)
        return self._model.compute_loss(columns, targets, predicted, training=False)

    def _validation_loss(self) -> float:
        total = 0.0
        for start in range(0, len(self._validation), _EVALUATED):
            part = self._validation.part(slice(start, start + _EVALUATED))
            columns = {name: tf.constant(v) for name, v in part.columns.items()}
            total += float(self._validate(columns, tf.constant(part.targets))) * len(part)
        return total / len(self._validation)

    def _rate(self) -> float:
        return float(self._model.optimizer.learning_rate)

    def _arrays(self) -> Arrays:
        return Arrays(
            variables=_values(self._model.variables),
            optimiser=_values(self._model.optimizer.variables),
            best=self._best,
        )

    def _restored(self, checkpoints: Checkpoints | None) -> Progress:
        state = checkpoints.load() if checkpoints else None
        if state is None:
            return Progress()
        progress, arrays = state
        _assign(self._model.variables, arrays.variables)
        _assign(self._model.optimizer.variables, arrays.optimiser)
        self._best = arrays.best
        return progress


def _any_rows(tensor: Any) -> Any:
    return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)


def _values(variables: Any) -> list[Any]:
    return [np.asarray(variable) for variable in variables]


def _assign(variables: Any, values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
