"""A TFX component that stops the run when the examples are broken.

TFX's ExampleValidator only records anomalies, and no other component waits for it. This component
reads them, counts the rows that each is about, and raises where these are more than the model's
tolerance, so that the components behind it (Transform, Trainer) do not start.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from retrain.anomalies import Anomaly, blocking_anomalies, describe
from retrain.engines.schema_rules import domain_bounds, read_schema
from streaming.contracts.errors import GateFailedError
from streaming.contracts.tolerance import ABOVE, BELOW, PRESENCE, Tolerance

_BATCH = 4_096
"""Rows that are counted at a time."""


class _Executor(base_executor.BaseExecutor):  # type: ignore[misc]
    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        """Raise `GateFailedError` when an anomaly stops the run."""
        artifact = artifact_utils.get_single_instance(input_dict["anomalies"])
        statistics = Path(artifact_utils.get_single_uri(input_dict["statistics"]))
        examples = Path(artifact_utils.get_single_uri(input_dict["examples"]))
        schema_folder = Path(artifact_utils.get_single_uri(input_dict["schema"]))
        schema = read_schema(next(schema_folder.glob("*.pbtxt")))
        features = {feature.name: feature for feature in schema.feature}
        anomalies, rows = [], {}
        for split in artifact_utils.decode_split_names(artifact.split_names):
            counts = _SplitCounts(
                statistics / f"Split-{split}" / "FeatureStats.pb",
                examples / f"Split-{split}",
                features,
            )
            rows[split] = counts.rows
            file = Path(artifact.uri, f"Split-{split}", "SchemaDiff.pb")
            anomalies += [counts.counted(anomaly) for anomaly in read_anomalies(file, split)]
        tolerance = msgspec.json.decode(exec_properties["tolerance"], type=Tolerance)
        blocking = blocking_anomalies(anomalies, rows, tolerance)
        if blocking:
            raise GateFailedError(f"The examples do not fit the schema: {describe(blocking)}.")


class _SplitCounts:
    """Counts the rows of one split that an anomaly is about."""

    def __init__(self, statistics: Path, examples: Path, features: dict[str, Any]) -> None:
        proto = statistics_pb2.DatasetFeatureStatisticsList.FromString(statistics.read_bytes())
        dataset = proto.datasets[0]
        self.rows = int(dataset.num_examples)
        self._examples = examples
        self._features = features
        self._missing = {}
        for feature in dataset.features:
            common = getattr(feature, feature.WhichOneof("stats")).common_stats
            self._missing[feature.path.step[0] or feature.name] = int(common.num_missing)

    def counted(self, anomaly: Anomaly) -> Anomaly:
        """The anomaly with its rows, where they can be counted."""
        feature = self._features.get(anomaly.feature)
        if feature is None:
            return anomaly
        values = {name: getattr(anomaly, name) for name in ("split", "feature", "code", "detail")}
        if anomaly.code in PRESENCE:
            missing = self._missing.get(anomaly.feature, self.rows)
            allowed = round(1.0 - feature.presence.min_fraction, 9)
            return Anomaly(**values, rows=missing, allowed=allowed)
        if anomaly.code in BELOW | ABOVE:
            return Anomaly(**values, rows=self._outside(feature, above=anomaly.code in ABOVE))
        return anomaly

    def _outside(self, feature: Any, *, above: bool) -> int:
        """Rows with a value beyond one end of the feature's domain."""
        from tensorflow_metadata.proto.v0 import schema_pb2

        low, high = domain_bounds(feature)
        kind = tf.int64 if feature.type == schema_pb2.INT else tf.float32
        parsing = {feature.name: tf.io.VarLenFeature(kind)}
        files = [str(file) for file in sorted(self._examples.iterdir())]
        count = 0
        for batch in tf.data.TFRecordDataset(files, compression_type="GZIP").batch(_BATCH):
            values = tf.io.parse_example(batch, parsing)[feature.name].values.numpy()
            count += int((values > high).sum() if above else (values < low).sum())
        return count


class _Spec(component_spec.ComponentSpec):  # type: ignore[misc]
    PARAMETERS: ClassVar[dict[str, Any]] = {
        "tolerance": component_spec.ExecutionParameter(type=str)
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        "anomalies": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {}


class AnomalyGate(base_component.BaseComponent):  # type: ignore[misc]
    """Fails on the anomalies that `retrain.anomalies.blocking_anomalies` returns; no outputs."""

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(_Executor)

    def __init__(
        self, *, anomalies: Any, statistics: Any, schema: Any, examples: Any, tolerance: Tolerance
    ) -> None:
        spec = _Spec(
            anomalies=anomalies,
            statistics=statistics,
            schema=schema,
            examples=examples,
            tolerance=msgspec.json.encode(tolerance).decode(),
        )
        super().__init__(spec=spec)


def read_anomalies(file: Path, split: str) -> Iterator[Anomaly]:
    """The anomalies in one of ExampleValidator's files, one for each reason."""
    proto = anomalies_pb2.Anomalies.FromString(file.read_bytes())
    if proto.data_missing:
        yield Anomaly(split=split, feature="", code="DATA_MISSING", detail="There are no rows.")
    infos = [*proto.anomaly_info.items(), ("", proto.dataset_anomaly_info)]
    for name, info in infos:
        for reason in info.reason:
            yield Anomaly(
                split=split,
                feature=name,
                code=anomalies_pb2.AnomalyInfo.Type.Name(reason.type),
                detail=reason.description or reason.short_description,
            )
