"""TFX components that make schemas: one completes an inferred schema, one has a schema's text.

TFDV gives no type to a column without values, and its inferred schema need not even name it; a
model's code indexes such a column all the same. This component takes the types from the contract.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils, standard_artifacts

from retrain.engines.schema_rules import read_schema
from retrain.engines.tfx.own_component import own_component
from streaming.contracts.errors import GateFailedError
from streaming.contracts.model import FeatureSpec

_TYPES = {"integer": schema_pb2.INT, "number": schema_pb2.FLOAT, "text": schema_pb2.BYTES}


class TypedSchemaExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Gives every column of the contract a type in an inferred schema."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        """Write ``schema.pbtxt``."""
        folder = Path(artifact_utils.get_single_uri(input_dict["inferred"]))
        target = Path(artifact_utils.get_single_uri(output_dict["schema"]))
        specs = msgspec.json.decode(exec_properties["columns"], type=list[FeatureSpec])
        schema = typed(read_schema(next(folder.glob("*.pbtxt"))), specs)
        target.mkdir(parents=True, exist_ok=True)
        (target / "schema.pbtxt").write_text(text_format.MessageToString(schema))


class GivenSchemaExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Writes a schema that is a parameter, so that a compiled pipeline needs no file."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        """Write ``schema.pbtxt``."""
        target = Path(artifact_utils.get_single_uri(output_dict["schema"]))
        target.mkdir(parents=True, exist_ok=True)
        (target / "schema.pbtxt").write_text(exec_properties["text"])


GivenSchema = own_component(
    "GivenSchema",
    GivenSchemaExecutor,
    outputs={"schema": standard_artifacts.Schema},
    parameters=("text",),
)

TypedSchema = own_component(
    "TypedSchema",
    TypedSchemaExecutor,
    inputs={"inferred": standard_artifacts.Schema},
    outputs={"schema": standard_artifacts.Schema},
    parameters=("columns",),
)


def typed(schema: Any, specs: list[FeatureSpec]) -> Any:
    """The schema in which each column of `specs` is a scalar of its kind.

    Raises
    ------
    GateFailedError
        When the data has a column of another kind than the contract.
    """
    features = {feature.name: feature for feature in schema.feature}
    for spec in specs:
        feature = features.get(spec.name)
        if feature is None:
            feature = schema.feature.add(name=spec.name)
        kind = _TYPES[spec.kind]
        if feature.type not in (schema_pb2.TYPE_UNKNOWN, kind):
            raise GateFailedError(
                f"The column {spec.name} holds {schema_pb2.FeatureType.Name(feature.type)}; the"
                f" contract says {spec.kind}. Correct the contract, or write the column so."
            )
        feature.type = kind
        feature.ClearField("shape")
        feature.value_count.min = feature.value_count.max = 1
        if not feature.HasField("presence"):
            feature.presence.min_count = 0
    return schema
