"""Checks the live version before a run: whether it can be compared with the new one at all.

A champion that is damaged, or whose model is another one's, would be found by the Evaluator after
half a minute, with a message about the new model. Here it is found in a second and named. Nothing
of it is executed: the graph's description is parsed, and the variables' checksums are verified.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrain.engines.tfx.label_check import check_labels
from retrain.models.code import load_code
from retrain.ports import (
    CHAMPION,
    CHAMPION_ADVICE,
    OnProgress,
    Trainer,
    TrainingFailed,
    TrainingJob,
    TrainingResult,
)
from retrain.tasks import strategy_of
from streaming.contracts.records import RetrainRequest

SIGNATURES = ("serving_default", "serving_examples", "transform_features")
"""The signatures of every version that the platform has exported."""


@dataclass(frozen=True, slots=True)
class CheckedTrainer:
    """A trainer that checks user code, labels and champion before each run."""

    trainer: Any
    """A trainer with `warm`."""

    def steps_of(self, request: RetrainRequest) -> int:
        """See `retrain.ports.Trainer`."""
        return int(self.trainer.steps_of(request))

    def warm(self) -> None:
        """Prepare the trainer."""
        self.trainer.warm()

    def train(self, job: TrainingJob, on_progress: OnProgress) -> TrainingResult:
        """Check, then run the job; see `retrain.ports.Trainer`.

        Raises
        ------
        ConfigurationError
            When the model's code cannot be imported.
        TrainingFailed
            Component ``Examples``, when the labels are all alike; component ``Champion``, when the
            live version cannot be compared with.
        """
        code = load_code(job.contract.module)
        check_labels(job.examples, code)
        if job.champion is not None:
            check_champion(
                job.champion,
                features=[feature.name for feature in job.contract.features],
                output=strategy_of(code.task).output,
            )
        trainer: Trainer = self.trainer
        return trainer.train(job, on_progress)


def check_champion(folder: Path, *, features: Iterable[str], output: str) -> None:
    """Raise `TrainingFailed` when the version in `folder` cannot be compared with.

    Parameters
    ----------
    folder:
        The live version's folder.
    features:
        Names of the fields that the events have; it may use no other.
    output:
        Name of the output that the evaluation compares.
    """
    problem = problem_of(folder, features=frozenset(features), output=output)
    if problem:
        raise TrainingFailed(
            f"The live version {folder.name} cannot be compared with: {problem}.",
            component=CHAMPION,
            advice=CHAMPION_ADVICE,
        )


def problem_of(folder: Path, *, features: frozenset[str], output: str) -> str:
    """Why it cannot be compared with, in words; empty when it can."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    file = folder / "saved_model.pb"
    if not folder.is_dir():
        return "its folder is missing"
    if not file.is_file():
        return "its folder has no SavedModel (no saved_model.pb)"
    try:
        saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    except DecodeError:
        return "its saved_model.pb is damaged"
    if not saved.meta_graphs:
        return "its saved_model.pb has no graph"
    signatures = saved.meta_graphs[0].signature_def
    missing = [name for name in SIGNATURES if name not in signatures]
    if missing:
        return f"it lacks the signature(s) {', '.join(missing)}, so the platform did not export it"
    unknown = sorted(set(signatures["serving_default"].inputs) - features)
    if unknown:
        return f"it needs the field(s) {', '.join(unknown)}, which the model's events do not have"
    outputs = sorted(signatures["serving_examples"].outputs)
    if output not in outputs:
        return f"it returns {', '.join(outputs)} and not {output}: it is a model of another task"
    return _problem_of_variables(folder)


def _problem_of_variables(folder: Path) -> str:
    import tensorflow as tf

    prefix = folder / "variables" / "variables"
    if not prefix.with_name("variables.index").is_file():
        return "its variables are missing"
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)  # verifies the checksum
    except (tf.errors.OpError, ValueError, RuntimeError):
        return "its variables are damaged"
    return ""
