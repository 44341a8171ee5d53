"""How the versions of a model are trained: search, compression, devices."""

from __future__ import annotations

from pydantic import Field

from deploy.config.types import PositiveDuration, Section
from retrain.policy import RetrainRules
from retrain.training_options import (
    Compression,
    ModelTraining,
    Precision,
    TrainingOptions,
    TunerOptions,
)
from streaming.contracts.records import RowRules

_TUNER, _OPTIONS, _ROWS = TunerOptions(), TrainingOptions(), RowRules()


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


class RowSettings(Section):
    """Which of the replayed rows are trained on and evaluated."""

    entity_share: float = Field(default=_ROWS.entity_share, gt=0, le=1)
    """Largest share of the rows of one entity (`entity` of the model's code); at least twice what
    each would have if all had equally many. More rows of it are left out."""
    eval_share: float = Field(default=_ROWS.eval_share, gt=0, lt=1)
    """Share of the entities, or of the keys where there are none, that is held back."""
    newest_share: float = Field(default=_ROWS.newest_share, gt=0, le=1)
    """The newest share of the rows of held-back entities is evaluated; older ones are left out."""
    history_choice: float = Field(default=RetrainRules().history_choice, ge=1, le=10)
    """How much more history is replayed than is taken after a shift, so that classes and slices can
    be balanced in it."""
    probe: bool = True
    """After a shift, ask a learning curve of small fits whether more rows would make a clearly
    better model, and wait for them."""
    probe_gain: float = Field(default=0.02, gt=0, lt=1)
    """Gain from twice the rows that is worth the wait: of the AUC, of the accuracy (multiclass), or
    of the explained share of the variance (regression)."""
    wait: PositiveDuration = RetrainRules().probe_wait_seconds
    """How long a retrain waits for these rows at most; then it is trained on what there is."""

    def rules(self, after_shift_share: float) -> RowRules:
        """How rows are chosen."""
        return RowRules(
            after_shift_share=after_shift_share,
            entity_share=self.entity_share,
            eval_share=self.eval_share,
            newest_share=self.newest_share,
        )


class TrainingSettings(Section):
    """The part of `retrain` that concerns the training itself."""

    rows: RowSettings = RowSettings()
    """Which of the replayed rows are trained on and evaluated."""
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
