"""How the versions of a model are trained: search, compression, devices."""

from __future__ import annotations

from pydantic import Field

from deploy.config.types import PositiveDuration, Section
from retrain.training_options import (
    Compression,
    ModelTraining,
    Precision,
    TrainingOptions,
    TunerOptions,
)

_TUNER, _OPTIONS = TunerOptions(), TrainingOptions()


class TunerSettings(Section):
    """The search of hyperparameters before a training."""

    trials: int = Field(default=_TUNER.trials, ge=1, le=1000)
    """Most trials. The first has the live version's values."""
    seconds: PositiveDuration = _TUNER.seconds
    """Time for all trials together; those that run by then end with what they have."""
    parallel: int = Field(default=_TUNER.parallel, ge=0, le=64)
    """Processes. 0: one for each GPU, or for each core where there is none."""

    def options(self) -> TunerOptions:
        """The tuner's options."""
        return TunerOptions(trials=self.trials, seconds=self.seconds, parallel=self.parallel)


class TrainingSettings(Section):
    """The part of `retrain` that concerns the training itself."""

    tuner: TunerSettings | None = None
    """Search hyperparameters before each training: {trials, seconds, parallel}. null: train with
    those of the model's code."""
    compression: Compression = "off"
    """Serve a smaller variant of a version, with float16 or int8 weights, where it passes the same
    blessing and saves a fifth of the served files. auto: the smallest of both."""
    warm_start: bool = False
    """Start from the live version's weights while code and vocabularies are the same."""
    precision: Precision = _OPTIONS.precision
    """Train in half precision: auto where GPU and net gain by it, mixed on every GPU that has it,
    or float32. What is served is float32."""
    training_workers: int = Field(default=_OPTIONS.workers, ge=1, le=64)
    """Processes that train one net together."""

    def training(self) -> ModelTraining:
        """How versions are trained."""
        return ModelTraining(
            tuner=self.tuner.options() if self.tuner else None,
            compression=self.compression,
            warm_start=self.warm_start,
            options=TrainingOptions(precision=self.precision, workers=self.training_workers),
        )
