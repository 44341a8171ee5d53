"""The steps of a pipeline that fulfil the owner's wishes for the training of one model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from retrain.engines.tfx.places import Place, local_folder
from retrain.engines.tfx.warm_files import read_training
from retrain.training_options import ModelTraining, TrainingOptions, TunerOptions

if TYPE_CHECKING:
    from retrain.engines.tfx.steps import StepFactory, Steps
    from retrain.models.code import ModelCode


STATE_SECONDS = 86_400.0
"""Age from which the state of a training that nobody took up again is removed."""


def remove_abandoned(states: Path, now: float) -> None:
    """Remove the states of trainings that ended by kills and were given up."""
    for folder in states.glob("*"):
        if now - folder.stat().st_mtime > STATE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def options_in(training: ModelTraining, folder: Path) -> TrainingOptions:
    """The trainer's options, with its state in a folder that outlives the attempt."""
    return msgspec.structs.replace(
        training.options, checkpoints=str(folder), variants=training.variants
    )


def search_in(training: ModelTraining, folder: Path, champion: Path | None) -> TunerOptions | None:
    """The search's options, with the champion's hyperparameters; None without a search."""
    if training.tuner is None:
        return None
    record = read_training(champion) if champion is not None else None
    values = record.hyperparameters if record is not None else {}
    return msgspec.structs.replace(training.tuner, champion=values, folder=str(folder))


def tuner(
    code: ModelCode,
    *,
    model: str,
    search: TunerOptions,
    steps: int = 800,
    batch: int = 256,
    options: TrainingOptions | None = None,
) -> StepFactory:
    """A search of hyperparameters, which the trainer then gets."""

    def make(steps_before: Steps) -> Any:
        from retrain.engines.tfx.data_steps import examples_of
        from retrain.engines.tfx.tuner import tuner_component

        component = tuner_component(
            code,
            examples=examples_of(steps_before),
            transform_graph=steps_before.imported("transform", "transform_graph"),
            schema=steps_before.imported("schema", "schema"),
            model=model,
            steps=steps,
            batch=batch,
            tuner=search,
            options=options,
        )
        return steps_before.behind("gate", component)

    return make


def base_model(folder: Place) -> StepFactory:
    """The model in `folder`/``Format-Serving``, from whose weights the training starts."""

    def make(steps_before: Steps) -> Any:
        import tfx.v1 as tfx

        return tfx.dsl.Importer(
            source_uri=str(folder if steps_before.remote else local_folder(folder, "base_model")),
            artifact_type=tfx.types.standard_artifacts.Model,
            reimport=True,
        ).with_id("BaseModel")

    return make
