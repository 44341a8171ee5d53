"""Stock TFX's default pipeline, round by round in one long-lived process.

The nodes and their defaults are those of TFX's own template: CsvExampleGen, StatisticsGen,
SchemaGen, ExampleValidator, Transform, Trainer, the latest blessed model, Evaluator and Pusher.
User code and rows are those of the other side. Transform and Trainer get the model's schema file,
because an inferred schema gives no type to a column without values.

Exchanges JSON lines: a `RoundFiles` in, a `FinishedRound` out.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from retrain.models.big_tipper.contract import CODE
from tests.bench.retrain_round import FinishedRound, RoundMeasurement
from tests.bench.taxi_rounds import CONTRACT, RoundFiles


def components(files: RoundFiles, push: Path) -> list[Any]:
    """The nodes of one run."""
    import tfx.v1 as tfx
    from tfx.dsl.components.common.resolver import Resolver

    from retrain.engines.tfx.trainer import TrainingLimits
    from retrain.engines.tfx.training_config import PLATFORM_TRAINER, custom_config

    proto, limits = tfx.proto, TrainingLimits()
    splits = [proto.Input.Split(name=name, pattern=f"{name}/*.csv") for name in ("train", "eval")]
    examples = tfx.components.CsvExampleGen(
        input_base=files.csv, input_config=proto.Input(splits=splits)
    )
    statistics = tfx.components.StatisticsGen(examples=examples.outputs["examples"])
    inferred = tfx.components.SchemaGen(statistics=statistics.outputs["statistics"])
    validator = tfx.components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=inferred.outputs["schema"]
    )
    schema = tfx.components.ImportSchemaGen(schema_file=str(CODE.schema))
    transform = tfx.components.Transform(
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn=CODE.preprocessing_fn,
    )
    trainer = tfx.components.Trainer(
        run_fn=PLATFORM_TRAINER,
        examples=examples.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema.outputs["schema"],
        train_args=proto.TrainArgs(splits=["train"], num_steps=limits.steps),
        eval_args=proto.EvalArgs(splits=["eval"]),
        custom_config=custom_config(CODE, model=CONTRACT.model, batch=limits.batch),
    )
    live = Resolver(
        strategy_class=tfx.dsl.experimental.LatestBlessedModelStrategy,
        model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=tfx.types.standard_artifacts.ModelBlessing),
    ).with_id("LatestBlessed")
    evaluator = tfx.components.Evaluator(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=live.outputs["model"],
        eval_config=_eval_config(),
    )
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=proto.PushDestination(
            filesystem=proto.PushDestination.Filesystem(base_directory=str(push))
        ),
    )
    return [
        examples, statistics, inferred, validator, schema, transform, trainer, live, evaluator,
        pusher,
    ]  # fmt: skip


def _eval_config() -> Any:
    import tensorflow_model_analysis as tfma

    def model(name: str, *, baseline: bool) -> Any:
        return tfma.ModelSpec(
            name=name,
            is_baseline=baseline,
            signature_name="serving_examples",
            label_key=CODE.label,
            prediction_key="probabilities",
            preprocessing_function_names=["transform_features"],
        )

    threshold = tfma.MetricThreshold(
        value_threshold=tfma.GenericValueThreshold(lower_bound={"value": 0.5})
    )
    metrics = [
        tfma.MetricConfig(class_name="AUC", threshold=threshold),
        tfma.MetricConfig(class_name="ExampleCount"),
    ]
    return tfma.EvalConfig(
        model_specs=[model("candidate", baseline=False), model("baseline", baseline=True)],
        slicing_specs=[tfma.SlicingSpec()],
        metrics_specs=[tfma.MetricsSpec(metrics=metrics)],
    )


class StockTfx:
    """Runs rounds with one ML Metadata, so that a round finds the last one's model."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._metadata = folder / "mlmd.sqlite"

    def run(self, files: RoundFiles) -> FinishedRound:
        """One run of the pipeline."""
        import tfx.v1 as tfx
        from tfx.orchestration.pipeline import Pipeline

        from retrain.engines.tfx import runner

        measurement, run_id = RoundMeasurement(), f"round-{files.number}"
        with measurement.measured():
            pipeline = Pipeline(
                pipeline_name="stock",
                pipeline_root=str(self._folder / "root"),
                components=components(files, self._folder / "pushed"),
                metadata_connection_config=(
                    tfx.orchestration.metadata.sqlite_metadata_connection_config(
                        str(self._metadata)
                    )
                ),
                beam_pipeline_args=["--runner=FnApiRunner"],
                enable_cache=False,
            )
            connection = runner.connection_of(self._metadata)
            seconds: dict[str, float] = {}

            def report(progress: Any) -> None:
                if progress.state == "done":
                    seconds[progress.component] = progress.seconds

            run = runner.run_pipeline(pipeline, connection, run_id, report)
        model = run.outputs["Trainer"]["model"] / "Format-Serving"
        return measurement.round(model=model, rows=files.rows, components=seconds)


def main() -> None:
    """Rounds until the input ends; the first line is the folder."""
    folder = Path(msgspec.json.decode(sys.stdin.readline(), type=str))
    out, sys.stdout = sys.stdout, sys.stderr  # TFX prints
    side = StockTfx(folder)
    for line in sys.stdin:
        files = msgspec.json.decode(line, type=RoundFiles)
        out.write(msgspec.json.encode(side.run(files)).decode() + "\n")
        out.flush()


if __name__ == "__main__":
    main()
