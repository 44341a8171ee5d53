"""What ML Metadata has of the trainer's runs."""

from __future__ import annotations

from pathlib import Path

from retrain.engines.mlmd.attempts import OFFSETS, local_path
from retrain.engines.mlmd.connection import open_store
from retrain.engines.mlmd.graph import Graph
from retrain.engines.mlmd.outcomes import OutcomeWriter
from retrain.engines.mlmd.run_reader import read_runs
from retrain.engines.run_files import RunFiles
from retrain.run_view import Run
from streaming.contracts.records import ModelVersion
from tests.retrain.engines.mlmd.attempts import reached


def run_of(place: Path, run_id: str) -> Run:
    """The only run of a request."""
    (only,) = (run for run in read_runs(open_store(place)) if run.run_id == run_id)
    return only


def kinds_after_publication(place: Path, version: ModelVersion, *, work: Path) -> set[str]:
    """Types of the artifacts that are there once the version is recorded and `work` is gone.

    Each of them exists, each that was removed does not, and the offsets lead to the version.
    """
    store, hidden = open_store(place), work.with_name("hidden")
    work.rename(hidden)  # the worker deletes it
    try:
        files = RunFiles(place.parents[1] / "runs")
        OutcomeWriter(Graph(store), files).write(version)
        artifacts = run_of(place, version.request_id).artifacts
        for artifact in artifacts:
            path = local_path(artifact.uri)
            assert path is not None
            assert path.exists() is not artifact.removed, artifact
    finally:
        hidden.rename(work)
    offsets = store.get_artifact_by_type_and_name(OFFSETS, version.request_id)
    forwards = reached(store, offsets, forwards=True)
    assert {"Examples", "Model", "ModelEvaluation", "driftline.PublishedModel"} <= forwards
    return {artifact.kind for artifact in artifacts if not artifact.removed}
