"""Saves the state of a training, so that a killed one goes on where it was and ends the same.

One file holds everything that the rest of the training depends on: the net's and the optimiser's
variables, the best weights so far, the curve, epoch and step. It is replaced by a rename, so a kill
at any time leaves a whole one. A checkpoint of other rows, another net or another plan is ignored.
"""

from __future__ import annotations

import os
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

_META = "meta"
SECONDS = 5.0
"""Least time between two checkpoints: a training that is shorter writes none."""


class Progress(msgspec.Struct, kw_only=True):
    """How far a training is."""

    epoch: int = 0
    """Number of epochs that are complete."""
    step: int = 0
    """Steps of the next epoch that are done."""
    loss_sum: float = 0.0
    """Sum of these steps' losses."""
    best_epoch: int = 0
    """Epoch with the lowest judged loss, from 1; 0 before there is one."""
    best_loss: float | None = None
    stale: int = 0
    """Epochs since the best."""
    loss: list[float] = []
    val_loss: list[float] = []


@dataclass(slots=True, kw_only=True)
class Arrays:
    """The numbers of a training."""

    variables: list[Any]
    """Those of the net, with the states of random layers."""
    optimiser: list[Any]
    best: list[Any] = field(default_factory=list)
    """The net's variables at the best epoch; empty before there is one."""


class Checkpoints:
    """Keeps the newest state in one file.

    Parameters
    ----------
    folder:
        Folder of the file; made when it is missing.
    fingerprint:
        Digest of rows, net and plan: a state with another one is not taken up.
    seconds:
        Least time between two saves.
    """

    def __init__(self, folder: Path, fingerprint: str, *, seconds: float = SECONDS) -> None:
        self._file = folder / "training.npz"
        self._fingerprint = fingerprint
        self._seconds = seconds
        self._saved_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last save is long enough ago."""
        return time.monotonic() - self._saved_at >= self._seconds

    def save(self, progress: Progress, arrays: Arrays) -> None:
        """Replace the state on disk."""
        named: dict[str, Any] = {_META: np.frombuffer(self._meta(progress), np.uint8)}
        for name in ("variables", "optimiser", "best"):
            named |= {f"{name}/{n}": value for n, value in enumerate(getattr(arrays, name))}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".new")
        with temporary.open("wb") as stream:
            np.savez(stream, **named)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self._file)
        self._saved_at = time.monotonic()

    def load(self) -> tuple[Progress, Arrays] | None:
        """The state to go on from; None without one that fits."""
        try:
            with (
                self._file.open("rb") as stream,
                np.load(stream, allow_pickle=False) as arrays,
            ):
                meta = msgspec.json.decode(arrays[_META].tobytes())
                if meta["fingerprint"] != self._fingerprint:
                    return None
                state = {
                    name: [arrays[f"{name}/{n}"] for n in range(_count(arrays.files, name))]
                    for name in ("variables", "optimiser", "best")
                }
            return msgspec.convert(meta["progress"], Progress), Arrays(**state)
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, msgspec.MsgspecError):
            return None  # none, or damaged by something other than a kill: start again

    def remove(self) -> None:
        """Forget the state: the training is complete."""
        self._file.unlink(missing_ok=True)

    def _meta(self, progress: Progress) -> bytes:
        return msgspec.json.encode({"fingerprint": self._fingerprint, "progress": progress})


def _count(names: list[str], kind: str) -> int:
    return sum(name.startswith(f"{kind}/") for name in names)
