"""The files of a version that a later training starts from; no server reads them.

They lie in ``assets.extra`` beside the SavedModel, so the store's manifest covers them:

* ``transform_graph/``: the output of Transform, to be used again while code and schema stand.
* ``warm.weights.h5``: the trained weights; absent for a model that is no Keras net.
* ``training.json``: a `TrainingRecord`.
* ``trials.json``: the trials of the search before the training, if there was one.

Nothing in the first three is a time or a path, so the same training gives the same bytes.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec

from streaming.contracts.errors import DecodeError
from streaming.contracts.ids import digest
from streaming.contracts.model_manifest import EXTRA

TRANSFORM_GRAPH = f"{EXTRA}/transform_graph"
WEIGHTS = f"{EXTRA}/warm.weights.h5"
TRAINING = f"{EXTRA}/training.json"
TRIALS = f"{EXTRA}/trials.json"

_HDF5_HEAD, _HDF5_HEAD_OF_ONE = 65_536, 16_384
"""Bytes that HDF5 takes at most beside the values: once, and for each array with its groups."""

_PARTS = ("metadata", "transform_fn", "transformed_metadata")
"""Folders of a transform graph."""


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A value after each epoch."""

    loss: tuple[float | None, ...] = ()
    """Mean training loss of each epoch."""
    val_loss: tuple[float | None, ...] = ()
    """Loss on the rows that were held back; empty when none were."""


class TrainingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How a version was trained."""

    code_digest: str
    """See `retrain.models.code_digest`; empty where it is not known."""
    schema_digest: str
    """SHA-256 of the schema's text, as in `ModelVersion.schema_digest`."""
    hyperparameters: dict[str, Any]
    """Values that ``build_model`` and the trainer got, and those that the trainer chose."""
    start: str = "cold"
    """"cold" (random weights) or "warm" (the champion's)."""
    start_reason: str = ""
    """Why, in one sentence."""
    rows: int = 0
    """Number of training rows."""
    best_epoch: int = 0
    """The epoch, from 1, whose weights were kept."""
    curve: Curve = Curve()
    devices: tuple[str, ...] = ()
    """The devices that it was trained on, one entry each."""
    workers: int = 1
    """Number of processes."""
    precision: str = "float32"
    """Keras' dtype policy of the training; what is served is float32."""
    out_of_vocabulary: dict[str, float] = {}
    """Transformed column → share of the training rows whose value no vocabulary had."""


def write_warm_files(
    folder: Path, *, model: Any, transform_graph: Path, record: TrainingRecord
) -> None:
    """Write the three beside the SavedModel in `folder`.

    Parameters
    ----------
    folder:
        An exported SavedModel.
    model:
        The trained net; its weights are left out when it has no ``save_weights``.
    transform_graph:
        The output of Transform.
    record:
        How it was trained.
    """
    (folder / EXTRA).mkdir(parents=True, exist_ok=True)
    for part in _PARTS:
        source = transform_graph / part
        if source.is_dir():
            shutil.copytree(
                source,
                folder / TRANSFORM_GRAPH / part,
                copy_function=shutil.copyfile,
                dirs_exist_ok=True,
            )
    if hasattr(model, "save_weights"):
        need_space(folder, _size_of_weights(model))
        model.save_weights(folder / WEIGHTS)
    (folder / TRAINING).write_bytes(
        msgspec.json.format(msgspec.json.encode(record, order="deterministic")) + b"\n"
    )


def need_space(folder: Path, size: int) -> None:
    """Make sure that `size` bytes fit on the disk of a folder.

    HDF5 ends the process when it cannot write a file to its end.

    Raises
    ------
    OSError
        ENOSPC, when they do not fit.
    """
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _size_of_weights(model: Any) -> int:
    """Upper bound of the bytes of an HDF5 file with a model's weights."""
    import numpy as np

    weights = [np.asarray(weight) for weight in getattr(model, "weights", ())]
    values = sum(weight.nbytes for weight in weights)
    return values + _HDF5_HEAD + _HDF5_HEAD_OF_ONE * len(weights)


def search_folder(state: Path, rows_digest: str) -> Path:
    """Where a search on these rows keeps its trials, in the folder of a training's state."""
    return state / f"search-{rows_digest[:12]}"


def keep_trials(search: Path, servable: Path) -> None:
    """Copy the trials of a search beside a SavedModel, if there was one."""
    trials = search / "trials.json"
    if trials.is_file():
        shutil.copyfile(trials, servable / TRIALS)


def read_training(servable: Path) -> TrainingRecord | None:
    """How a version was trained; None for a version from before this was kept.

    Raises
    ------
    DecodeError
        When the file is damaged.
    """
    file = servable / TRAINING
    if not file.is_file():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=TrainingRecord)
    except msgspec.DecodeError as error:
        raise DecodeError(
            f"{file} cannot be read: {error}. Retrain without the champion's weights, or restore"
            " the version."
        ) from error


def transform_graph_of(servable: Path) -> Path | None:
    """The version's transform graph; None when it has none."""
    folder = servable / TRANSFORM_GRAPH
    return folder if (folder / "transform_fn" / "saved_model.pb").is_file() else None


def schema_digest(file: Path) -> str:
    """The digest of a schema file as records have it."""
    return digest(file.read_bytes())


def finite(values: list[float]) -> tuple[float | None, ...]:
    """Values for JSON, which has no NaN.

    >>> finite([0.5, float("nan")])
    (0.5, None)
    """
    return tuple(value if math.isfinite(value) else None for value in values)
