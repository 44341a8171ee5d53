"""An attempt of the trainer in ML Metadata, node by node as TFX records it, without TFX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from retrain.engines.mlmd.attempts import as_json, begin_attempt, end_attempt
from retrain.engines.mlmd.connection import open_store
from retrain.engines.mlmd.graph import Graph
from retrain.engines.run_files import RunFiles
from streaming.contracts.records import Metric, RetrainRequest

NODES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("ExampleImporter", (), "Examples"),
    ("StatisticsGen", ("Examples",), "ExampleStatistics"),
    ("ImportSchemaGen", (), "Schema"),
    ("ExampleValidator", ("ExampleStatistics", "Schema"), "ExampleAnomalies"),
    ("Tuner", ("Examples", "Schema"), "TunerResults"),
    ("Trainer", ("Examples", "Schema", "TunerResults"), "Model"),
    ("Evaluator", ("Examples", "Model"), "ModelEvaluation"),
)
"""Node, what it reads, and what it makes."""

METRIC = Metric(name="auc", slice="", value=0.9, low=0.88, high=0.92, n=500)
TRAINING = {
    "hyperparameters": {"learning_rate": 0.01},
    "start": "cold",
    "devices": ["CPU:0"],
    "precision": "float32",
    "best_epoch": 2,
    "curve": {"loss": [0.5, 0.4, None], "val_loss": [0.6, 0.5, 0.55]},
    "code_digest": "a later release adds fields",
}


def store_in(folder: Path) -> MetadataStore:
    return open_store(folder / "metadata" / "mlmd.sqlite")


def attempt(
    graph: Graph,
    request: RetrainRequest,
    number: int,
    *,
    work: Path,
    files: RunFiles,
    until: str = "Evaluator",
    killed: bool = False,
    digest: str = "d",
) -> None:
    """One attempt; `until` is its last node, and a killed one writes no end."""
    name = f"{request.record_id}.{number}"
    _, context = begin_attempt(graph, request, name, files)
    artifacts: dict[str, Any] = {}
    for node, reads, makes in NODES:
        folder = work / node / makes
        folder.mkdir(parents=True)
        (folder / "content").write_text(f"{makes} of attempt {number}")
        artifacts[makes] = _run_node(
            graph.store, context, node, [artifacts[each] for each in reads], folder
        )
        if node == until:
            break
    if killed:
        return
    trained = until == "Evaluator"
    properties: dict[str, str | int | float] = {"rows": 100, "outcome": "failed: full disk"}
    if trained:
        properties |= {
            "outcome": "Blessed.",
            "digest": digest,
            "blessed": 1,
            "training": as_json(TRAINING),
            "trials": as_json([{"id": "0", "loss": 0.5, "values": {"learning_rate": 0.01}}]),
            "metrics": as_json([METRIC]),
        }
    end_attempt(graph, context, request=request, properties=properties, work_dir=work, files=files)


def _run_node(
    store: MetadataStore, context: Any, node: str, reads: Sequence[Any], folder: Path
) -> Any:
    kind = store.put_execution_type(mlmd.ExecutionType(name=f"tfx.components.{node}"))
    artifact_kind = store.put_artifact_type(mlmd.ArtifactType(name=folder.name))
    execution = mlmd.Execution(type_id=kind, last_known_state=mlmd.Execution.COMPLETE)
    artifact = mlmd.Artifact(type_id=artifact_kind, uri=str(folder), state=mlmd.Artifact.LIVE)
    inputs = [(each, mlmd.Event(type=mlmd.Event.INPUT)) for each in reads]
    _, [*_, artifact_id], _ = store.put_execution(
        execution, [*inputs, (artifact, mlmd.Event(type=mlmd.Event.OUTPUT))], [context]
    )
    [stored] = store.get_artifacts_by_id([artifact_id])
    return stored


def reached(store: MetadataStore, start: Any, *, forwards: bool) -> set[str]:
    """Types of all artifacts that lead to an artifact, or to which it leads."""
    into, out = mlmd.Event.INPUT, mlmd.Event.OUTPUT
    if not forwards:
        into, out = out, into
    seen, queue = {start.id}, [start.id]
    while queue:
        events = store.get_events_by_artifact_ids([queue.pop()])
        executions = {event.execution_id for event in events if event.type == into}
        following = store.get_events_by_execution_ids(list(executions)) if executions else []
        for event in following:
            if event.type == out and event.artifact_id not in seen:
                seen.add(event.artifact_id)
                queue.append(event.artifact_id)
    return {artifact.type for artifact in store.get_artifacts_by_id(list(seen))}
