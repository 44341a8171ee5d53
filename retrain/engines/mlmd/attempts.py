"""Writes a run and its attempts: what was asked for, what each attempt made, where it is now.

A request is one context `RUN`, by its id. Every attempt has TFX's ``pipeline_run`` context as its
child, which exists before the first node starts: an attempt whose worker was killed belongs to its
run as well. The trainer alone writes into the contexts of attempts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from ml_metadata.proto import metadata_store_pb2 as mlmd

from retrain.engines.mlmd.graph import Graph
from retrain.engines.run_files import RunFiles
from streaming.contracts.records import RetrainRequest

RUN = "driftline.Run"
"""Type of the context of a request."""
ATTEMPT = "pipeline_run"
"""Type of the context of an attempt: TFX's own."""
OFFSETS = "driftline.OffsetRanges"
"""Type of the artifact with the request, which names the offsets of events and labels."""
REPLAY = "driftline.Replay"
"""Type of the execution that makes examples of offsets."""
REQUEST_FILE = "request.json"
_MODEL = "Model"
_FORMAT = "Format-Serving"


def put_run(graph: Graph, request: RetrainRequest, files: RunFiles) -> tuple[Any, Any]:
    """The context of a request and its artifact of offsets, written once."""
    context = graph.context(
        RUN,
        request.record_id,
        {
            "model": request.model,
            "cause": request.cause,
            "reason": request.reason,
            "at": float(request.at),
            "caused_by": as_json(request.caused_by),
            "events": as_json(request.events),
            "labels": as_json(request.labels),
            "base_version": request.base_version,
        },
    )
    file = files.write(request.model, request.record_id, REQUEST_FILE, msgspec.json.encode(request))
    offsets = graph.artifact(OFFSETS, request.record_id, str(file), {}, contexts=[context])
    return context, offsets


def begin_attempt(
    graph: Graph, request: RetrainRequest, attempt_id: str, files: RunFiles
) -> tuple[Any, Any]:
    """The contexts of the run and of a new attempt; earlier attempts lose what no longer exists."""
    run, _ = put_run(graph, request, files)
    for earlier in attempts_of(graph, run):
        mark_removed(graph, graph.store.get_artifacts_by_context(earlier.id))
    attempt = graph.context(ATTEMPT, attempt_id, {"request_id": request.record_id})
    graph.parent(run, attempt)
    return run, attempt


def attempts_of(graph: Graph, run: Any) -> list[Any]:
    """The contexts of a run's attempts, newest first."""
    children = graph.store.get_children_contexts_by_context(run.id)
    return sorted(children, key=lambda context: context.id, reverse=True)


def end_attempt(
    graph: Graph,
    attempt: Any,
    *,
    request: RetrainRequest,
    properties: dict[str, str | int | float],
    work_dir: Path,
    files: RunFiles,
) -> None:
    """Write how an attempt ended, and keep the files of its artifacts.

    Parameters
    ----------
    properties:
        What the reader shows, see `run_reader`.
    work_dir:
        Folder of the attempt, which is deleted afterwards. The trained model stays in it until it
        is published.
    """
    graph.context(ATTEMPT, attempt.name, properties)
    artifacts = graph.store.get_artifacts_by_context(attempt.id)
    for artifact in artifacts:
        _keep(artifact, request, attempt.name, work_dir, files)
    if artifacts:
        graph.store.put_artifacts(artifacts)
    examples = [artifact for artifact in artifacts if artifact.type == "Examples"]
    _, offsets = put_run(graph, request, files)
    graph.execution(
        REPLAY,
        attempt.name,
        {},
        contexts=[attempt],
        inputs=[("offsets", offsets)],
        outputs=[("examples", artifact) for artifact in examples[:1]],
        failed=not examples,
    )


def mark_removed(graph: Graph, artifacts: Sequence[Any]) -> None:
    """Mark artifacts whose files do not exist as deleted; those elsewhere are left alone."""
    gone = []
    for artifact in artifacts:
        path = local_path(artifact.uri)
        if artifact.state != mlmd.Artifact.DELETED and path is not None and not path.exists():
            artifact.state = mlmd.Artifact.DELETED
            gone.append(artifact)
    if gone:
        graph.store.put_artifacts(gone)


def local_path(uri: str) -> Path | None:
    """The path of a URI on this machine's file systems; None for another scheme.

    >>> local_path("file:///m/a%20b"), local_path("/m"), local_path("s3://bucket/m")
    (PosixPath('/m/a b'), PosixPath('/m'), None)
    """
    if uri.startswith("/"):
        return Path(uri)
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def as_json(value: Any) -> str:
    """A value as JSON text."""
    return msgspec.json.encode(value).decode()


def _keep(
    artifact: Any, request: RetrainRequest, attempt_id: str, work_dir: Path, files: RunFiles
) -> None:
    """Point an artifact of the attempt's folder to where its files stay."""
    path = local_path(artifact.uri)
    if path is None or not path.is_relative_to(work_dir):
        return
    if artifact.type == _MODEL:
        servable = path / _FORMAT
        if servable.is_symlink():  # the champion, which is in the store
            artifact.uri = str(servable.resolve())
        return
    if not path.exists():
        artifact.state = mlmd.Artifact.DELETED
        return
    name = f"{attempt_id.rsplit('.', 1)[-1]}/{artifact.type}"
    folder = files.folder(request.model, request.record_id) / name
    if os.path.lexists(folder):
        name = f"{name}-{artifact.id}"
    artifact.uri = str(files.keep(path, request.model, request.record_id, name))
