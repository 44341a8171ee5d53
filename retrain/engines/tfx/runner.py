"""Runs a TFX pipeline in this process, node after node, and verifies it in ML Metadata.

TFX's own local runner returns normally when a node was skipped because its inputs were missing.
This one checks each node, and after the run compares the executions recorded in ML Metadata with
the nodes that should have run. Everything happens in one process, so TensorFlow is imported
once however many pipelines a worker runs.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, runtime_parameter_utils

from retrain.engines.mlmd.connection import MetadataPlace, connection_of, open_store
from retrain.engines.tfx.free_memory import give_back
from retrain.ports import OnProgress, Progress
from streaming.contracts.records import ComponentRun

__all__ = [
    "MetadataPlace", "NodeFailed", "Run", "connection_of", "open_store", "outputs_of",
    "run_pipeline", "unfinished",
]  # fmt: skip

_DONE = frozenset({metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED})


class NodeFailed(Exception):
    """A node raised or never ran; `node` is its id, the cause is chained."""

    def __init__(self, message: str, *, node: str) -> None:
        super().__init__(message)
        self.node = node


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run."""

    run_id: str
    """Id of the run in ML Metadata."""
    components: tuple[ComponentRun, ...]
    """Durations of the nodes, in order."""
    outputs: dict[str, dict[str, Path]]
    """Node id → output name → folder."""


def run_pipeline(
    pipeline: Pipeline,
    place: MetadataPlace,
    run_id: str,
    on_progress: OnProgress,
) -> Run:
    """Run every node, in order.

    Raises
    ------
    NodeFailed
        When a node raised, or was skipped.
    """
    compiled = compiler.Compiler().compile(pipeline)
    names = {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
    runtime_parameter_utils.substitute_runtime_parameter(compiled, names)
    nodes = [node.pipeline_node for node in compiled.nodes]
    components = []
    for number, node in enumerate(nodes, start=1):
        report = _NodeReport(node.node_info.id, number, len(nodes), on_progress)
        with report.reported(), _hidden_arguments():
            _launch(compiled, node)
        give_back()
        components.append(ComponentRun(name=report.component, seconds=report.seconds))
    store = open_store(place)
    expected = [node.node_info.id for node in nodes]
    for node_id, state in unfinished(store, run_id, expected).items():
        raise NodeFailed(f"{node_id} ended {state}; it must be COMPLETE.", node=node_id)
    return Run(
        run_id=run_id, components=tuple(components), outputs=outputs_of(store, run_id, expected)
    )


def unfinished(store: MetadataStore, run_id: str, nodes: list[str]) -> dict[str, str]:
    """The nodes of a run that are not complete in ML Metadata, with their states."""
    states: dict[str, str] = {}
    for execution, node_id in _executions(store, run_id):
        state = metadata_store_pb2.Execution.State.Name(execution.last_known_state)
        if execution.last_known_state in _DONE:
            states[node_id] = "COMPLETE"
        elif states.get(node_id) != "COMPLETE":
            states[node_id] = state
    absent = "SKIPPED (no execution is recorded)"
    all_states = {node_id: states.get(node_id, absent) for node_id in nodes}
    return {node_id: state for node_id, state in all_states.items() if state != "COMPLETE"}


def outputs_of(store: MetadataStore, run_id: str, nodes: list[str]) -> dict[str, dict[str, Path]]:
    """Node id → output name → folder, for the nodes of a run."""
    folders: dict[str, dict[str, Path]] = {node_id: {} for node_id in nodes}
    for execution, node_id in _executions(store, run_id):
        events = store.get_events_by_execution_ids([execution.id])
        outputs = [event for event in events if event.type == metadata_store_pb2.Event.OUTPUT]
        if outputs:
            artifacts = store.get_artifacts_by_id([event.artifact_id for event in outputs])
            uris = {artifact.id: Path(artifact.uri) for artifact in artifacts}
            for event in outputs:
                key = event.path.steps[0].key if event.path.steps else ""
                folders.setdefault(node_id, {})[key] = uris[event.artifact_id]
    return folders


class _NodeReport:
    """Reports the progress of one node."""

    def __init__(self, component: str, step: int, steps: int, on_progress: OnProgress) -> None:
        self.component, self._step, self._steps = component, step, steps
        self._on_progress = on_progress
        self.seconds = 0.0

    @contextlib.contextmanager
    def reported(self) -> Iterator[None]:
        """Report the start and the end of the node that runs inside the `with`."""
        self._report("started")
        began = time.monotonic()
        try:
            yield
        except NodeFailed as error:
            self.seconds = time.monotonic() - began
            self._report("failed", str(error))
            raise
        except Exception as error:
            self.seconds = time.monotonic() - began
            self._report("failed", str(error))
            raise NodeFailed(f"{self.component} failed: {error}", node=self.component) from error
        self.seconds = time.monotonic() - began
        self._report("done")

    def _report(self, state: Literal["started", "done", "failed"], detail: str = "") -> None:
        self._on_progress(
            Progress(
                component=self.component,
                state=state,
                step=self._step,
                steps=self._steps,
                seconds=self.seconds,
                detail=detail[:500],
            )
        )


def _launch(compiled: Any, node: Any) -> None:
    node_id = node.node_info.id
    deployment = runner_utils.extract_local_deployment_config(compiled)
    connection = deployment.metadata_connection_config
    config = getattr(connection, connection.WhichOneof("connection_config"))
    executed = launcher.Launcher(
        pipeline_node=node,
        mlmd_connection=metadata.Metadata(config),
        pipeline_info=compiled.pipeline_info,
        pipeline_runtime_spec=compiled.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
    ).launch()
    if executed is None or not executed.execution_id:
        raise NodeFailed(
            f"{node_id} was skipped: TFX found no input for it. Check the outputs of the nodes"
            " before it.",
            node=node_id,
        )


def _executions(store: MetadataStore, run_id: str) -> Iterator[tuple[Any, str]]:
    """Each execution of a run, with the id of its node."""
    context = store.get_context_by_type_and_name("pipeline_run", run_id)
    if context is None:
        return
    for execution in store.get_executions_by_context(context.id):
        contexts = store.get_contexts_by_execution(execution.id)
        for node_context in contexts:
            if node_context.type == "node":
                yield execution, node_context.name.rsplit(".", 1)[1]


@contextlib.contextmanager
def _hidden_arguments() -> Iterator[None]:
    """Hide this process's arguments, because TFX passes ``sys.argv`` to Beam as options."""
    arguments = sys.argv
    sys.argv = arguments[:1]
    try:
        yield
    finally:
        sys.argv = arguments
