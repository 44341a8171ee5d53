"""A TFX component that stops the run when the examples are broken.

TFX's ExampleValidator only records anomalies, and no other component waits for it. This component
reads them and raises, so that the components behind it (Transform, Trainer) do not start.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from retrain.anomalies import Anomaly, blocking_anomalies, describe
from streaming.contracts.errors import GateFailedError


class _Executor(base_executor.BaseExecutor):  # type: ignore[misc]
    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        """Raise `GateFailedError` when an anomaly stops the run."""
        artifact = artifact_utils.get_single_instance(input_dict["anomalies"])
        anomalies = [
            anomaly
            for split in artifact_utils.decode_split_names(artifact.split_names)
            for anomaly in read_anomalies(
                Path(artifact.uri, f"Split-{split}", "SchemaDiff.pb"), split
            )
        ]
        blocking = blocking_anomalies(anomalies)
        if blocking:
            raise GateFailedError(f"The examples do not fit the schema: {describe(blocking)}.")


class _Spec(component_spec.ComponentSpec):  # type: ignore[misc]
    PARAMETERS: ClassVar[dict[str, Any]] = {}
    INPUTS: ClassVar[dict[str, Any]] = {
        "anomalies": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies)
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {}


class AnomalyGate(base_component.BaseComponent):  # type: ignore[misc]
    """Fails on the anomalies that `retrain.anomalies.blocking_anomalies` returns; no outputs."""

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(_Executor)

    def __init__(self, anomalies: Any) -> None:
        super().__init__(spec=_Spec(anomalies=anomalies))


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
