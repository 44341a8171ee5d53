"""How the versions of a model are trained, as plain data: the owner's wishes and their defaults."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Precision = Literal["auto", "float32", "mixed"]
"""Whether a net is trained in half precision: ``auto`` where the GPU and the net gain by it."""

Kind = Literal["float16", "int8"]
"""How the weights of a compressed variant are stored."""

Compression = Literal["off", "auto", "float16", "int8"]
"""Which smaller variant may be served; ``auto`` tries both."""


class TrainingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a net is trained."""

    precision: Precision = "auto"
    """Half precision where GPU and net gain by it, never, or on every GPU that has it."""
    workers: int = 1
    """Processes on this machine that train one net together."""
    shared: str = ""
    """Folder that the workers of ``TF_CONFIG`` share; needed only where that is set."""
    checkpoints: str = ""
    """Folder of the training's state, by which a killed training goes on; empty = none. It must
    outlive the attempt, and belong to one request."""
    checkpoint_seconds: float = 5.0
    """Least time between two checkpoints."""
    logs: str = ""
    """Folder of TensorBoard's files; empty = the run's own."""
    variants: tuple[Kind, ...] = ()
    """Compressed variants that are written beside the exported model."""
    devices: tuple[str, ...] = ()
    """Devices to train on, such as ``GPU:1``; empty = every GPU that the process sees."""


class TunerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How hyperparameters are searched."""

    trials: int = 8
    """Most trials; the first has the champion's values."""
    seconds: float = 300.0
    """Trials that run by then end with what they have, and none starts. The first always runs."""
    parallel: int = 0
    """Processes; 0 = one for each GPU, or for each core where there is none."""
    champion: dict[str, Any] = {}
    """Hyperparameters of the live version; see `warm_files.TrainingRecord`."""
    folder: str = ""
    """Folder in which a killed search goes on; empty = the component's own, which does not stay."""
    seed: int = 20130101


class ModelTraining(msgspec.Struct, frozen=True, kw_only=True):
    """How the versions of one model are trained.

    >>> ModelTraining(compression="auto").variants, ModelTraining().variants
    (('float16', 'int8'), ())
    """

    tuner: TunerOptions | None = None
    """The budget of a search before each training; None = no search."""
    compression: Compression = "off"
    warm_start: bool = False
    """Whether the training starts from the champion's weights where they fit."""
    options: TrainingOptions = TrainingOptions()
    """Devices, processes and precision."""

    @property
    def variants(self) -> tuple[Kind, ...]:
        """The variants that are made."""
        if self.compression == "off":
            return ()
        return ("float16", "int8") if self.compression == "auto" else (self.compression,)
