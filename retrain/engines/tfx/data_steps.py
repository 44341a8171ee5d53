"""Factories of the steps from statistics to the transform graph."""

from __future__ import annotations

from typing import Any

import msgspec
import tfx.v1 as tfx
from tfx.components.transform.component import Transform

from retrain.engines.schema_rules import label_kinds
from retrain.engines.tfx.anomaly_gate import AnomalyGate
from retrain.engines.tfx.places import Place, is_uri, local_folder
from retrain.engines.tfx.shard_statistics import ShardStatistics
from retrain.engines.tfx.steps import StepFactory, Steps
from retrain.engines.tfx.typed_schema import GivenSchema, TypedSchema
from retrain.models.code import ModelCode
from retrain.ports import AFTER_SHIFT
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import FeatureSpec
from streaming.contracts.tolerance import Tolerance

FROZEN = "TransformGraph"
"""Id of the node that imports a transform graph instead of computing one."""


def examples_of(steps: Steps, name: str = "examples") -> Any:
    """The channel of the examples, whichever component brings them."""
    return steps.imported(name, "examples")


def statistics(engine: str) -> StepFactory:
    """Statistics of each split."""

    def make(steps: Steps) -> Any:
        examples = examples_of(steps)
        if engine == "tfx":
            return tfx.components.StatisticsGen(examples=examples)
        return ShardStatistics(examples=examples).with_id("StatisticsGen")

    return make


def given_schema(place: Place) -> StepFactory:
    """A schema from a file; a compiled pipeline has its text."""

    def make(steps: Steps) -> Any:
        if steps.remote and is_uri(place):
            return tfx.dsl.Importer(
                source_uri=str(place),
                artifact_type=tfx.types.standard_artifacts.Schema,
                reimport=True,
            ).with_id("SchemaImporter")
        file = local_folder(place, "schema")
        if not file.is_file():
            raise ConfigurationError(f"There is no schema {file}; give the file of a TFDV schema.")
        if steps.remote:
            return GivenSchema(text=file.read_text())
        return tfx.components.ImportSchemaGen(schema_file=str(file))

    return make


def inferred_schema(code: ModelCode) -> tuple[StepFactory, StepFactory]:
    """An inferred schema, and the step that completes it."""

    def infer(steps: Steps) -> Any:
        return tfx.components.SchemaGen(
            statistics=steps.output("statistics", "statistics"), infer_feature_shape=False
        )

    def complete(steps: Steps) -> Any:
        flag = FeatureSpec(name=AFTER_SHIFT, kind="integer")
        specs = [*code.features, *label_kinds(code), flag]
        return TypedSchema(
            inferred=steps.output("inferred_schema", "schema"),
            columns=msgspec.json.encode(specs).decode(),
        )

    return infer, complete


def validator() -> StepFactory:
    """The statistics against the schema."""

    def make(steps: Steps) -> Any:
        return tfx.components.ExampleValidator(
            statistics=steps.output("statistics", "statistics"),
            schema=steps.imported("schema", "schema"),
        )

    return make


def gate(tolerance: Tolerance) -> StepFactory:
    """The step that stops a run on broken data."""

    def make(steps: Steps) -> Any:
        return AnomalyGate(
            anomalies=steps.output("validator", "anomalies"),
            statistics=steps.output("statistics", "statistics"),
            schema=steps.imported("schema", "schema"),
            examples=examples_of(steps),
            tolerance=tolerance,
        )

    return make


def transform(function: str, frozen: Place | None) -> StepFactory:
    """The transform graph, computed or taken over; behind the gate where there is one."""

    def make(steps: Steps) -> Any:
        if frozen is not None:
            graph = frozen if steps.remote else local_folder(frozen, "transform")
            return tfx.dsl.Importer(
                source_uri=str(graph),
                artifact_type=tfx.types.standard_artifacts.TransformGraph,
                reimport=True,
            ).with_id(FROZEN)
        component = Transform(
            examples=examples_of(steps),
            schema=steps.imported("schema", "schema"),
            preprocessing_fn=function,
            materialize=False,
            disable_statistics=True,
        )
        return steps.behind("gate", component)

    return make
