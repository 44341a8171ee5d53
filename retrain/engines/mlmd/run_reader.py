"""Reads runs from ML Metadata, with all that Driftline and TFX recorded of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from retrain.engines.mlmd.attempts import RUN, local_path
from retrain.engines.mlmd.graph import PREFIX, number_of, text_of
from retrain.engines.mlmd.outcomes import CANARY, FAILURE, PROMOTE, PUBLISH
from retrain.run_view import Run, RunArtifact, RunCurve, RunEvent, RunState
from streaming.contracts.records import ComponentRun, Metric, OffsetRange

T = TypeVar("T")
Ids = tuple[str, ...]
Spans = tuple[OffsetRange, ...]
Metrics = tuple[Metric, ...]
Components = tuple[ComponentRun, ...]
Trials = tuple[dict[str, Any], ...]
_LOGS = "ModelRun"


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader takes of a version's ``training.json``."""

    hyperparameters: dict[str, Any] = {}
    start: str = ""
    devices: tuple[str, ...] = ()
    precision: str = ""
    best_epoch: int = 0
    curve: RunCurve = RunCurve()

    def parameters(self) -> dict[str, Any]:
        """Hyperparameters, then how they were used."""
        used = {
            "start": self.start,
            "best_epoch": self.best_epoch,
            "precision": self.precision,
            "devices": len(self.devices),
        }
        return dict(sorted(self.hyperparameters.items())) | {k: v for k, v in used.items() if v}


def read_runs(store: MetadataStore, *, model: str = "", complete: bool = True) -> tuple[Run, ...]:
    """All runs of a model, or of every one, newest request first.

    Parameters
    ----------
    complete:
        Whether artifacts are read as well.
    """
    contexts = [
        context
        for context in store.get_contexts_by_type(RUN)
        if model in ("", text_of(context, "model"))
    ]
    ordered = sorted(contexts, key=lambda c: (number_of(c, "at"), c.id), reverse=True)
    return tuple(read_run(store, context, complete=complete) for context in ordered)


def read_recorded_run(store: MetadataStore, run_id: str) -> Run | None:
    """The run of a request; None when it is not recorded."""
    context = store.get_context_by_type_and_name(RUN, run_id)
    return None if context is None else read_run(store, context)


def read_run(store: MetadataStore, context: Any, *, complete: bool = True) -> Run:
    """The run of a context."""
    attempts = sorted(
        store.get_children_contexts_by_context(context.id), key=lambda c: c.id, reverse=True
    )
    newest = attempts[0] if attempts else mlmd.Context()
    ends = _executions(store, context)
    published, failure = ends.get(PUBLISH, [None])[-1], ends.get(FAILURE, [None])[-1]
    end = published if published is not None else failure
    judged = published if published is not None else newest
    training = _decoded(text_of(newest, "training"), Training, Training())
    return Run(
        run_id=context.name,
        model=text_of(context, "model"),
        cause=text_of(context, "cause"),
        reason=text_of(context, "reason"),
        at=number_of(context, "at"),
        caused_by=_decoded(text_of(context, "caused_by"), Ids, ()),
        base_version=int(number_of(context, "base_version")),
        events=_decoded(text_of(context, "events"), Spans, ()),
        labels=_decoded(text_of(context, "labels"), Spans, ()),
        attempts=len(attempts),
        state=_state(published, failure, newest, attempts),
        outcome=text_of(end, "reason") if end is not None else text_of(newest, "outcome"),
        version=int(number_of(published, "version")) if published is not None else 0,
        digest=text_of(judged, "digest"),
        blessed=_blessed(judged),
        schema_version=int(number_of(judged, "schema_version")),
        schema_digest=text_of(judged, "schema_digest"),
        rows=int(number_of(newest, "rows") or (number_of(end, "rows") if end is not None else 0)),
        parameters=training.parameters(),
        curve=training.curve,
        trials=_decoded(text_of(newest, "trials"), Trials, ()),
        metrics=_metrics(end, newest),
        components=_components(store, newest, published),
        history=_history(ends),
        **(_files(store, [*attempts, context]) if complete else {}),
    )


def _executions(store: MetadataStore, context: Any) -> dict[str, list[Any]]:
    """Driftline's executions of a run by type, oldest first."""
    by_type: dict[str, list[Any]] = {}
    executions = store.get_executions_by_context(context.id)
    for execution in sorted(executions, key=lambda e: (number_of(e, "at"), e.id)):
        by_type.setdefault(execution.type, []).append(execution)
    return by_type


def _state(published: Any, failure: Any, newest: Any, attempts: list[Any]) -> RunState:
    if published is not None:
        return "published"
    if failure is not None:
        return "insufficient" if text_of(failure, "outcome") == "insufficient" else "failed"
    if not attempts:
        return "waiting"
    return "trained" if text_of(newest, "digest") else "running"


def _blessed(judged: Any) -> bool | None:
    if f"{PREFIX}blessed" not in judged.custom_properties:
        return None
    return bool(number_of(judged, "blessed"))


def _metrics(end: Any, newest: Any) -> Metrics:
    recorded = text_of(end, "metrics") if end is not None else ""
    return _decoded(recorded, Metrics, ()) or _decoded(text_of(newest, "metrics"), Metrics, ())


def _components(store: MetadataStore, newest: Any, published: Any) -> Components:
    """Durations as the trainer measured them, else those of the executions in ML Metadata."""
    for node in (newest, published):
        known = _decoded(text_of(node, "components"), Components, ()) if node is not None else ()
        if known:
            return known
    if not newest.id:
        return ()
    executions = sorted(store.get_executions_by_context(newest.id), key=lambda e: e.id)
    return tuple(
        ComponentRun(
            name=execution.type.rsplit(".", 1)[-1],
            seconds=(execution.last_update_time_since_epoch - execution.create_time_since_epoch)
            / 1000.0,
        )
        for execution in executions
        if not execution.type.startswith("driftline.")
    )


def _history(ends: dict[str, list[Any]]) -> tuple[RunEvent, ...]:
    events = [
        RunEvent(
            kind="canary" if kind == CANARY else "promotion",
            outcome=text_of(execution, "outcome"),
            at=number_of(execution, "at"),
            reason=text_of(execution, "reason"),
            record_id=text_of(execution, "record_id"),
        )
        for kind in (CANARY, PROMOTE)
        for execution in ends.get(kind, [])
    ]
    return tuple(sorted(events, key=lambda event: event.at))


def _files(store: MetadataStore, contexts: Iterable[Any]) -> dict[str, Any]:
    """The artifacts of attempts and run, and TensorBoard's folder."""
    seen: dict[int, Any] = {}
    for context in contexts:
        for artifact in sorted(store.get_artifacts_by_context(context.id), key=lambda a: a.id):
            seen.setdefault(artifact.id, artifact)
    artifacts = tuple(
        RunArtifact(kind=each.type, uri=each.uri, removed=each.state == mlmd.Artifact.DELETED)
        for each in seen.values()
    )
    logs = next((each.uri for each in artifacts if each.kind == _LOGS and not each.removed), "")
    path = local_path(logs)
    return {"artifacts": artifacts, "logs": str(path) if path is not None else logs}


def _decoded(text: str, kind: type[T] | Any, absent: T) -> T:
    """A value of JSON; `absent` for an empty text or one of a later release."""
    if not text:
        return absent
    try:
        value: T = msgspec.json.decode(text, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return absent
    return value
