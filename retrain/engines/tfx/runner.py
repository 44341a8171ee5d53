"""Run a TFX pipeline in this process, node after node, and believe only ML Metadata.

TFX's own local runner returns normally when a node was skipped because its inputs were missing.
This one watches each node, and after the run compares the executions that ML Metadata knows of
with the nodes that should have run. Everything happens in one process, so TensorFlow is imported
once however many pipelines a worker runs.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, runtime_parameter_utils

from retrain.ports import Progress
from streaming.contracts.records import ComponentRun

_DONE = frozenset({metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED})


class NodeFailed(Exception):
    """A node raised, or never ran; `node` says which, the cause is chained."""

    def __init__(self, message: str, *, node: str) -> None:
        super().__init__(message)
        self.node = node


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run."""

    run_id: str
    components: tuple[ComponentRun, ...]
    outputs: dict[str, dict[str, Path]]
    """node → output → folder."""


def run_pipeline(
    pipeline: Pipeline,
    metadata_file: Path,
    run_id: str,
    on_progress: Callable[[Progress], None],
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
        report = _Report(node.node_info.id, number, len(nodes), on_progress)
        with report.watched(), _no_arguments():
            _launch(compiled, node)
        components.append(ComponentRun(name=report.component, seconds=report.seconds))
    store = open_store(metadata_file)
    expected = [node.node_info.id for node in nodes]
    for node_id, state in unfinished(store, run_id, expected).items():
        raise NodeFailed(f"{node_id} ended {state}; it must be COMPLETE.", node=node_id)
    return Run(
        run_id=run_id, components=tuple(components), outputs=outputs_of(store, run_id, expected)
    )


def unfinished(store: MetadataStore, run_id: str, nodes: list[str]) -> dict[str, str]:
    """The nodes of a run that ML Metadata does not know as complete, and what it says of them."""
    states: dict[str, str] = {}
    for execution, node_id in _executions(store, run_id):
        state = metadata_store_pb2.Execution.State.Name(execution.last_known_state)
        if execution.last_known_state in _DONE:
            states[node_id] = "COMPLETE"
        elif states.get(node_id) != "COMPLETE":
            states[node_id] = state
    absent = "SKIPPED (no execution is recorded)"
    found = {node_id: states.get(node_id, absent) for node_id in nodes}
    return {node_id: state for node_id, state in found.items() if state != "COMPLETE"}


def outputs_of(store: MetadataStore, run_id: str, nodes: list[str]) -> dict[str, dict[str, Path]]:
    """Where each node of a run left its outputs."""
    found: dict[str, dict[str, Path]] = {node_id: {} for node_id in nodes}
    for execution, node_id in _executions(store, run_id):
        events = store.get_events_by_execution_ids([execution.id])
        outputs = [event for event in events if event.type == metadata_store_pb2.Event.OUTPUT]
        if outputs:
            artifacts = store.get_artifacts_by_id([event.artifact_id for event in outputs])
            places = {artifact.id: Path(artifact.uri) for artifact in artifacts}
            for event in outputs:
                key = event.path.steps[0].key if event.path.steps else ""
                found.setdefault(node_id, {})[key] = places[event.artifact_id]
    return found


def open_store(metadata_file: Path) -> MetadataStore:
    """ML Metadata in a sqlite file, made when it is not there."""
    metadata_file.parent.mkdir(parents=True, exist_ok=True)
    config = metadata.sqlite_metadata_connection_config(str(metadata_file))
    return MetadataStore(config)


class _Report:
    """Tells the listener about one node."""

    def __init__(
        self, component: str, step: int, steps: int, tell: Callable[[Progress], None]
    ) -> None:
        self.component, self._step, self._steps = component, step, steps
        self._tell = tell
        self.seconds = 0.0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        self._say("started")
        began = time.monotonic()
        try:
            yield
        except NodeFailed as error:
            self.seconds = time.monotonic() - began
            self._say("failed", str(error))
            raise
        except Exception as error:
            self.seconds = time.monotonic() - began
            self._say("failed", str(error))
            raise NodeFailed(f"{self.component} failed: {error}", node=self.component) from error
        self.seconds = time.monotonic() - began
        self._say("done")

    def _say(self, state: Any, detail: str = "") -> None:
        self._tell(
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
            f"{node_id} was skipped: TFX found no input for it. Look at what the nodes before it"
            " made.",
            node=node_id,
        )


def _executions(store: MetadataStore, run_id: str) -> Iterator[tuple[Any, str]]:
    """Each execution of a run, with the id of its node."""
    context = store.get_context_by_type_and_name("pipeline_run", run_id)
    if context is None:
        return
    for execution in store.get_executions_by_context(context.id):
        contexts = store.get_contexts_by_execution(execution.id)
        for one in contexts:
            if one.type == "node":
                yield execution, one.name.rsplit(".", 1)[1]


@contextlib.contextmanager
def _no_arguments() -> Iterator[None]:
    """Hide this process's arguments: TFX hands ``sys.argv`` to Beam as its options."""
    kept = sys.argv
    sys.argv = kept[:1]
    try:
        yield
    finally:
        sys.argv = kept
