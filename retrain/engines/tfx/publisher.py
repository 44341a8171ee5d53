"""A TFX component that publishes a blessed model to the model store.

The worker publishes by itself, because its record names the request. This component serves
pipelines that are run by hand or compiled. A model that is not blessed (`blessing_node`), or failed
the serving check, is not published.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from retrain.engines.model_store import FolderStore
from retrain.engines.tfx.blessing_node import read_decision
from retrain.engines.tfx.own_component import own_component
from retrain.ports import highest_version
from streaming.contracts.errors import GateFailedError
from streaming.contracts.records import Artifact, Metric, ModelVersion


class PublisherExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Publishes the model to the store if it is blessed."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        """Publish, and name the version in the output's properties."""
        decision = read_decision(Path(artifact_utils.get_single_uri(input_dict["blessing"])))
        if not decision.blessed:
            raise GateFailedError(f"The model is not published. {decision.reason}")
        _check_served(input_dict.get("infra_blessing"))
        model = artifact_utils.get_single_instance(input_dict["model"])
        pushed = artifact_utils.get_single_instance(output_dict["pushed"])
        store, name = FolderStore(Path(exec_properties["store"])), exec_properties["model_name"]
        record = _record(
            name,
            version=highest_version(store.versions(name)) + 1,
            metrics=decision.metrics,
            reason=decision.reason,
            rows=_rows(Path(artifact_utils.get_single_uri(input_dict["statistics"]))),
            request_id=f"{name}-{pushed.id or pushed.uri}",
        )
        published = store.publish(record, Path(path_utils.serving_model_path(model.uri)))
        Path(pushed.uri).mkdir(parents=True, exist_ok=True)
        pushed.set_int_custom_property("version", published.version)
        pushed.set_string_custom_property("digest", published.artifact.digest)
        pushed.set_string_custom_property("pushed_destination", published.artifact.uri)


Publisher = own_component(
    "Publisher",
    PublisherExecutor,
    inputs={
        "model": standard_artifacts.Model,
        "blessing": standard_artifacts.ModelBlessing,
        "statistics": standard_artifacts.ExampleStatistics,
    },
    optional={"infra_blessing": standard_artifacts.InfraBlessing},
    outputs={"pushed": standard_artifacts.PushedModel},
    parameters=("store", "model_name"),
)
"""Parameters: folder of the store, and name of the model."""


def _check_served(blessings: Any) -> None:
    if blessings and not artifact_utils.get_single_instance(blessings).get_int_custom_property(
        "blessed"
    ):
        raise GateFailedError("The model is not published: it failed the serving check.")


def _rows(statistics: Path) -> int:
    files = statistics.glob("Split-*/FeatureStats.pb")
    lists = [statistics_pb2.DatasetFeatureStatisticsList.FromString(f.read_bytes()) for f in files]
    return sum(int(each.datasets[0].num_examples) for each in lists)


def _record(
    model: str,
    *,
    version: int,
    metrics: tuple[Metric, ...],
    reason: str,
    rows: int,
    request_id: str,
) -> ModelVersion:
    return ModelVersion(
        record_id=f"model-version-{request_id}",
        model=model,
        at=time.time(),
        version=version,
        request_id=request_id,
        artifact=Artifact(uri="", digest=""),  # the store fills it in
        base_version=0,
        blessed=True,
        reason=reason,
        evaluation=metrics,
        components=(),
        training_rows=rows,
        window_start=0.0,
        window_end=0.0,
        load_seconds=0.0,
        warm_predict_seconds=0.0,
    )
