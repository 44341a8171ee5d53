"""The retrain pipeline, assembled by a fluent builder.

Each method adds one TFX component and returns the builder; `build` returns the pipeline. The rules,
in the style of fluent-tfx: the gate comes before everything that trains; the evaluation always
reads raw examples; a given champion is the evaluation's baseline. A step without the step that it
needs is an error. Components belong to one run: a second run needs a new builder, because TFX
keeps a registry of components for each process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import tfx.v1 as tfx
from tfx.components.transform.component import Transform
from tfx.orchestration.pipeline import Pipeline

from retrain.engines.tfx import evaluation
from retrain.engines.tfx.anomaly_gate import AnomalyGate
from retrain.engines.tfx.infra_validation import ServingLimits, ServingValidator
from retrain.engines.tfx.training_config import PLATFORM_TRAINER, custom_config
from retrain.models.code import ModelCode
from retrain.ports import EVAL_SHARDS, TRAIN_SHARDS, ServerCommand
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.tolerance import DEFAULT, Tolerance

BEAM = ("--runner=FnApiRunner",)
"""Beam's options. Its default runner first tries to download another runner, which hangs behind a
firewall."""


class RetrainPipeline:
    """Builds one run of one model.

    Parameters
    ----------
    name:
        Name of the pipeline in ML Metadata.
    root:
        Folder for the run's artifacts.
    code:
        The model's user code.
    beam:
        Beam's options, for example another runner for large data.
    """

    def __init__(
        self, name: str, root: Path, code: ModelCode, *, beam: tuple[str, ...] = BEAM
    ) -> None:
        self._name = name
        self._root = root
        self._code = code
        self._beam = beam
        self._components: dict[str, Any] = {}
        self._champion: Path | None = None
        self._built = False

    def from_shards(self, folder: Path) -> Self:
        """Read gzipped TFRecord shards that are already split into train and eval."""
        splits = [
            tfx.proto.Input.Split(name="train", pattern=TRAIN_SHARDS),
            tfx.proto.Input.Split(name="eval", pattern=EVAL_SHARDS),
        ]
        return self._add(
            "examples",
            tfx.components.ImportExampleGen(
                input_base=str(folder), input_config=tfx.proto.Input(splits=splits)
            ),
        )

    def with_schema(self, file: Path | None = None) -> Self:
        """Use the schema in `file`, or the model's own; nothing is inferred from the data."""
        return self._add(
            "schema", tfx.components.ImportSchemaGen(schema_file=str(file or self._code.schema))
        )

    def validate(self, tolerance: Tolerance = DEFAULT) -> Self:
        """Compute statistics, validate them against the schema, and stop the run on broken data."""
        statistics = tfx.components.StatisticsGen(examples=self._out("examples", "examples"))
        self._add("statistics", statistics)
        validator = tfx.components.ExampleValidator(
            statistics=self._out("statistics", "statistics"), schema=self._out("schema", "schema")
        )
        self._add("validator", validator)
        gate = AnomalyGate(
            anomalies=self._out("validator", "anomalies"),
            statistics=self._out("statistics", "statistics"),
            schema=self._out("schema", "schema"),
            examples=self._out("examples", "examples"),
            tolerance=tolerance,
        )
        return self._add("gate", gate)

    def preprocess(self) -> Self:
        """Build the transform graph; the trainer applies it, so the rows are not copied."""
        component = Transform(
            examples=self._out("examples", "examples"),
            schema=self._out("schema", "schema"),
            preprocessing_fn=self._code.preprocessing_fn,
            materialize=False,
            disable_statistics=True,
        )
        return self._add("transform", self._behind_gate(component))

    def train(self, *, model: str, steps: int, batch: int) -> Self:
        """Train `model` for at most `steps` steps of at most `batch` rows."""
        component = tfx.components.Trainer(
            run_fn=self._code.run_fn or PLATFORM_TRAINER,
            examples=self._out("examples", "examples"),
            transform_graph=self._out("transform", "transform_graph"),
            schema=self._out("schema", "schema"),
            train_args=tfx.proto.TrainArgs(splits=["train"], num_steps=steps),
            eval_args=tfx.proto.EvalArgs(splits=["eval"]),
            custom_config=custom_config(self._code, model=model, batch=batch),
        )
        return self._add("trainer", self._behind_gate(component))

    def against(self, champion: Path | None) -> Self:
        """Evaluate against the live model in `champion`/``Format-Serving``; None = none is live."""
        if champion is None:
            return self
        self._champion = champion / "Format-Serving"
        component = tfx.dsl.Importer(
            source_uri=str(champion),
            artifact_type=tfx.types.standard_artifacts.Model,
            reimport=True,
        ).with_id("Champion")
        return self._add("champion", component)

    def evaluate(self, *, seed: int = 0) -> Self:
        """Evaluate with TFMA on the raw evaluation rows, against the champion if there is one.

        `seed` is that of the bootstrap.
        """
        has_champion = "champion" in self._components
        component = tfx.components.Evaluator(
            examples=self._out("examples", "examples"),
            example_splits=["eval"],
            model=self._out("trainer", "model"),
            baseline_model=self._out("champion", "result") if has_champion else None,
            eval_config=evaluation.eval_config(self._code, champion=self._champion, seed=seed),
        )
        return self._add("evaluator", component)

    def check_serving(
        self, *, model: str, version: int, limits: ServingLimits, server: ServerCommand
    ) -> Self:
        """Serve the new model for a moment in a real model server, started by `server`."""
        component = ServingValidator(
            self._out("trainer", "model"),
            model_name=model,
            version=version,
            features=self._code.features,
            task=self._code.task,
            limits=limits,
            server=server,
        )
        return self._add("serving", component)

    def build(self, metadata: Path) -> Pipeline:
        """Return the pipeline; `metadata` is the file of ML Metadata. Callable once."""
        if self._built:
            raise ConfigurationError(
                "This pipeline was built already; create a new builder for each run."
            )
        self._built = True
        metadata.parent.mkdir(parents=True, exist_ok=True)
        return Pipeline(
            pipeline_name=self._name,
            pipeline_root=str(self._root),
            components=list(self._components.values()),
            metadata_connection_config=(
                tfx.orchestration.metadata.sqlite_metadata_connection_config(str(metadata))
            ),
            beam_pipeline_args=list(self._beam),
            enable_cache=False,
        )

    def node(self, step: str) -> str:
        """The id of a step's component, for example of ``trainer``."""
        return str(self._step(step).id)

    def _add(self, step: str, component: Any) -> Self:
        if step in self._components:
            raise ConfigurationError(f"The pipeline already has a step '{step}'.")
        self._components[step] = component
        return self

    def _step(self, step: str) -> Any:
        if step not in self._components:
            raise ConfigurationError(
                f"The pipeline needs the step '{step}' first; it has"
                f" {', '.join(self._components) or 'none'}."
            )
        return self._components[step]

    def _out(self, step: str, key: str) -> Any:
        return self._step(step).outputs[key]

    def _behind_gate(self, component: Any) -> Any:
        component.add_upstream_node(self._step("gate"))
        return component
