"""Factories of the steps from training to publication."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import tfx.v1 as tfx

from retrain.blessing import BlessingRules
from retrain.engines.tfx import evaluation
from retrain.engines.tfx.blessing_node import Blessing
from retrain.engines.tfx.data_steps import examples_of
from retrain.engines.tfx.infra_validation import ServingLimits, ServingValidator
from retrain.engines.tfx.places import Place, local_folder
from retrain.engines.tfx.publisher import Publisher
from retrain.engines.tfx.shard_evaluation import ShardEvaluator
from retrain.engines.tfx.steps import StepFactory, Steps
from retrain.engines.tfx.training_config import (
    PLATFORM_TRAINER,
    TrainingOptions,
    custom_config,
)
from retrain.models.code import ModelCode
from retrain.ports import ServerCommand
from retrain.tasks import strategy_of
from retrain.tasks.strategy import rules_in_force
from streaming.contracts.errors import ConfigurationError


def trainer(
    code: ModelCode,
    fn: str = "",
    *,
    model: str,
    steps: int,
    batch: int,
    options: TrainingOptions | None = None,
) -> StepFactory:
    """TFX's Trainer with the function `fn`, else the model's own, else the platform's."""

    def make(made: Steps) -> Any:
        tuned = made.output("tuner", "best_hyperparameters") if "tuner" in made else None
        base = made.imported("base_model", "model") if "base_model" in made else None
        component = tfx.components.Trainer(
            run_fn=fn or code.run_fn or PLATFORM_TRAINER,
            examples=examples_of(made),
            transform_graph=made.imported("transform", "transform_graph"),
            schema=made.imported("schema", "schema"),
            base_model=base,
            hyperparameters=tuned,
            train_args=tfx.proto.TrainArgs(splits=["train"], num_steps=steps),
            eval_args=tfx.proto.EvalArgs(splits=["eval"]),
            custom_config=custom_config(code, model=model, batch=batch, options=options),
        )
        return made.behind("gate", component)

    return make


def champion(place: Place) -> StepFactory:
    """The live model, in TFX's layout; in a compiled pipeline also a version of the store."""

    def make(made: Steps) -> Any:
        if not made.remote and not (local_folder(place, "champion") / "Format-Serving").is_dir():
            raise ConfigurationError(
                f"{place} has no folder Format-Serving with the live model; see"
                " `driftline versions`."
            )
        return tfx.dsl.Importer(
            source_uri=str(place if made.remote else local_folder(place, "champion")),
            artifact_type=tfx.types.standard_artifacts.Model,
            reimport=True,
        ).with_id("Champion")

    return make


def evaluator(code: ModelCode, engine: str, *, seed: int) -> StepFactory:
    """The evaluation by slice, paired with the champion's where there is one."""

    def make(made: Steps) -> Any:
        live = made.output("champion", "result") if "champion" in made else None
        if engine == "tfx":
            folder = _champion_folder(made)
            if folder and made.remote and code.task.kind == "multiclass":
                raise ConfigurationError(
                    "The champion's classes are read before TFX's Evaluator runs, which a compiled"
                    " pipeline cannot; compile it with the engine fast."
                )
            config = evaluation.eval_config(code, champion=folder, seed=seed)
            return _tfx_evaluator(made, config)
        options = evaluation.EvaluationOptions(
            task=code.task,
            label=code.label,
            slices=code.slices,
            entity=code.entity,
            seed=seed,
        )
        return ShardEvaluator(
            examples=examples_of(made),
            model=made.output("trainer", "model"),
            champion=live,
            options=msgspec.json.encode(options).decode(),
        ).with_id("Evaluator")

    return make


def own_evaluation(config: Any) -> StepFactory:
    """TFX's Evaluator with a ``tfma.EvalConfig`` of the caller's."""
    return lambda made: _tfx_evaluator(made, config)


def _tfx_evaluator(made: Steps, config: Any) -> Any:
    return tfx.components.Evaluator(
        examples=examples_of(made),
        example_splits=["eval"],
        model=made.output("trainer", "model"),
        baseline_model=made.output("champion", "result") if "champion" in made else None,
        eval_config=config,
    )


def serving(
    code: ModelCode, *, model: str, version: int, limits: ServingLimits, server: ServerCommand
) -> StepFactory:
    """The check in a real model server."""

    def make(made: Steps) -> Any:
        return ServingValidator(
            made.output("trainer", "model"),
            model_name=model,
            version=version,
            features=code.features,
            task=code.task,
            limits=limits,
            server=server,
        )

    return make


def blessing(code: ModelCode, *, rules: BlessingRules, must_win: str) -> StepFactory:
    """The decision on the challenger."""

    def make(made: Steps) -> Any:
        in_force = rules_in_force(strategy_of(code.task), rules)
        return Blessing(
            evaluation=made.output("evaluator", "evaluation"),
            rules=msgspec.json.encode(in_force).decode(),
            has_champion=str(int("champion" in made)),
            must_win=must_win,
        ).with_id("Blessing")

    return make


def publisher(store: Place, *, model: str) -> StepFactory:
    """The store, behind the blessing."""

    def make(made: Steps) -> Any:
        folder = str(store if made.remote else local_folder(store, "publisher").absolute())
        return Publisher(
            model=made.output("trainer", "model"),
            blessing=made.output("blessing", "blessing"),
            infra_blessing=made.output("serving", "blessing") if "serving" in made else None,
            statistics=made.output("statistics", "statistics"),
            store=folder,
            model_name=model,
        ).with_id("Publisher")

    return make


def bulk(code: ModelCode, source: str) -> StepFactory:
    """Predictions of many rows, beside their inputs."""

    def make(made: Steps) -> Any:
        proto = tfx.proto
        output = strategy_of(code.task).output
        column = proto.PredictOutputCol(output_key=output, output_column=output)
        predicted = proto.PredictOutput(output_columns=[column])
        columns = proto.OutputColumnsSpec(predict_output=predicted)
        splits = ["unlabelled"] if source != "examples" else ["eval"]
        return tfx.components.BulkInferrer(
            examples=examples_of(made, source),
            model=made.output("trainer", "model"),
            data_spec=proto.DataSpec(example_splits=splits),
            model_spec=proto.ModelSpec(model_signature_name=["serving_examples"]),
            output_example_spec=proto.OutputExampleSpec(output_columns_spec=[columns]),
        )

    return make


def _champion_folder(made: Steps) -> Path | None:
    if "champion" not in made:
        return None
    return Path(made.component("champion").exec_properties["artifact_uri"], "Format-Serving")
