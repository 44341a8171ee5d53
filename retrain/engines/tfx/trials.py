"""Runs the trials of a search in a pool of processes, each with one thread or one GPU.

The processes share a folder: the rows, read once by each, and a file per trial with its validation
loss after each epoch. A trial reads the others' files to know whether it is hopeless, so no process
waits for another, and the curves are there to look at while the search runs.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import structlog

from retrain.engines.tfx.pruning import is_hopeless
from retrain.engines.tfx.training_config import NetJob

if TYPE_CHECKING:
    from retrain.engines.tfx.checkpoints import Progress

log = structlog.get_logger()

ROWS = "rows.npz"

Ending = Literal["complete", "pruned", "out of time", "failed"]
"""How a trial ended. The best loss of one that was pruned or ran out of time counts."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One trial's result."""

    id: str
    values: dict[str, Any]
    """Its hyperparameters."""
    ending: Ending
    loss: float | None = None
    """Lowest validation loss; None when it failed."""
    epochs: int = 0
    seconds: float = 0.0
    reason: str = ""
    """Why it failed."""


class Slot(msgspec.Struct, frozen=True):
    """What one process may use."""

    gpu: str = ""
    """Value for ``CUDA_VISIBLE_DEVICES``; empty = none is leased."""


def slots(parallel: int, gpus: Sequence[str]) -> list[Slot]:
    """One slot for each process; processes share GPUs when there are fewer.

    >>> [slot.gpu for slot in slots(3, ["0", "1"])], [slot.gpu for slot in slots(2, [])]
    (['0', '1', '0'], ['', ''])
    """
    return [Slot(gpus[number % len(gpus)] if gpus else "") for number in range(parallel)]


def visible_gpus(count: int, visible: str | None) -> list[str]:
    """Names of the GPUs that this process may lease to others.

    Parameters
    ----------
    count:
        Number of GPUs that TensorFlow sees.
    visible:
        ``CUDA_VISIBLE_DEVICES``; None = not set.

    >>> visible_gpus(2, "5,7"), visible_gpus(2, None), visible_gpus(0, "")
    (['5', '7'], ['0', '1'], [])
    """
    if visible is None:
        return [str(number) for number in range(count)]
    return [name.strip() for name in visible.split(",") if name.strip()][:count]


def pool(folder: Path, leases: Sequence[Slot]) -> ProcessPoolExecutor:
    """A pool with a process for each slot; each reads the rows of `folder` once."""
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    for slot in leases:
        queue.put(slot.gpu)
    return ProcessPoolExecutor(
        len(leases), mp_context=context, initializer=_begin, initargs=(queue, folder)
    )


_STATE: dict[str, Any] = {}
"""The rows and the folder of this process, set when it begins."""


def _begin(leases: Any, folder: Path) -> None:
    gpu = leases.get()
    os.environ.pop("TF_CONFIG", None)  # a trial is no part of a cluster
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu or "-1"
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # processes may share a GPU

    import tensorflow as tf

    from retrain.engines.tfx.training_data import TrainingData

    # As many processes as cores: more threads in each would only take turns.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    _STATE.update(rows=TrainingData.load(folder / ROWS), folder=folder)


def run_trial(trial_id: str, job: NetJob, deadline: float) -> Trial:
    """Train one trial in a process of the pool.

    Parameters
    ----------
    trial_id:
        Id, unique in the folder.
    job:
        The net with the trial's hyperparameters.
    deadline:
        `time.time` at which it ends, with what it has by then.
    """
    import keras

    from retrain.engines.tfx.devices import local_strategy
    from retrain.engines.tfx.net_training import train_net
    from retrain.models.heads import head_of

    began, ending, curve = time.monotonic(), "complete", Curve(_STATE["folder"], trial_id)

    def after_epoch(progress: Progress, rate: float) -> bool:
        nonlocal ending
        losses = progress.val_loss or progress.loss
        curve.append(losses[-1])
        if time.time() >= deadline:
            ending = "out of time"
        elif is_hopeless(losses, curve.others()):
            ending = "pruned"
        return ending == "complete"

    keras.utils.clear_session()
    rows = _STATE["rows"]
    try:
        trained = train_net(
            job, rows.inputs(), rows, head_of(job.code.task),
            strategy=local_strategy(), on_epoch=after_epoch,
        )  # fmt: skip
    except Exception as error:  # the values of one trial end no search
        log.exception("trial.failed", id=trial_id)
        return Trial(
            id=trial_id, values=job.values, ending="failed",
            seconds=time.monotonic() - began, reason=f"{type(error).__name__}: {error}"[:500],
        )  # fmt: skip
    return Trial(
        id=trial_id, values=job.values, ending=ending,  # type: ignore[arg-type]
        loss=trained.progress.best_loss, epochs=trained.progress.epoch,
        seconds=time.monotonic() - began,
    )  # fmt: skip


class Curve:
    """The losses of one trial in a file, beside those of the others."""

    def __init__(self, folder: Path, trial_id: str) -> None:
        self._folder = folder / "curves"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = self._folder / f"{trial_id}.txt"
        self._file.write_text("")

    def append(self, loss: float) -> None:
        """Add the loss of an epoch."""
        with self._file.open("a") as stream:
            stream.write(f"{loss!r}\n")

    def others(self) -> list[list[float]]:
        """The curves of the other trials; a line that is being written is left out."""
        curves = []
        for file in sorted(self._folder.glob("*.txt")):
            if file != self._file:
                curve: list[float] = []
                with contextlib.suppress(ValueError):
                    curve.extend(float(line) for line in file.read_text().split("\n")[:-1])
                curves.append(curve)
        return curves
