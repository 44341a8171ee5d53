"""The lineage of a version in ML Metadata: request, offsets, run, artifacts.

Each run's ``pipeline_run`` context gets the request's id, its offsets, the version and the digest
as custom properties. Any reader of ML Metadata can then trace a version back to the offsets that
it was trained on, without Driftline.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from streaming.contracts.records import ComponentRun, OffsetRange, RetrainRequest
from streaming.contracts.tolerance import Breach

_TYPE = "pipeline_run"
_PREFIX = "driftline_"
Breaches = tuple[Breach, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One run as recorded in ML Metadata."""

    run_id: str
    """Id of the run."""
    outcome: str
    """``trained``, or ``failed: <reason>``."""
    model: str
    """Name of the model."""
    request_id: str
    """record_id of the retrain request."""
    version: int
    """Number that the version was trained as."""
    digest: str
    """Digest of the trained model; empty when the run failed."""
    base_version: int
    """Version that was live at the time of the request; 0 = none."""
    schema_version: int
    """Number of the schema version that the examples were validated against."""
    schema_digest: str
    """Digest of that schema's text."""
    caused_by: tuple[str, ...]
    """record_ids of the verdicts or the command behind the request."""
    events: tuple[OffsetRange, ...]
    """Offsets of the events that were replayed."""
    labels: tuple[OffsetRange, ...]
    """Offsets of the labels that were replayed."""
    components: tuple[ComponentRun, ...]
    """Durations of the components."""
    set_aside: tuple[Breach, ...]
    """Rows that were not trained on because they break the schema."""
    artifacts: tuple[tuple[str, str], ...]
    """(type, URI) of every artifact of the run; the worker deletes the files afterwards."""


def record_run(
    store: MetadataStore,
    run_id: str,
    *,
    request: RetrainRequest,
    version: int,
    digest: str,
    outcome: str,
    schema_version: int = 0,
    schema_digest: str = "",
    set_aside: tuple[Breach, ...] = (),
) -> None:
    """Record a run's lineage; a run that never started a node has no context and is skipped."""
    context = store.get_context_by_type_and_name(_TYPE, run_id)
    if context is None:
        return
    texts = {
        "outcome": outcome,
        "model": request.model,
        "request_id": request.record_id,
        "digest": digest,
        "schema_digest": schema_digest,
        "caused_by": _encode(request.caused_by),
        "events": _encode(request.events),
        "labels": _encode(request.labels),
        "set_aside": _encode(set_aside),
    }
    for name, value in texts.items():
        context.custom_properties[_PREFIX + name].string_value = value
    context.custom_properties[_PREFIX + "version"].int_value = version
    context.custom_properties[_PREFIX + "base_version"].int_value = request.base_version
    context.custom_properties[_PREFIX + "schema_version"].int_value = schema_version
    store.put_contexts([context])


def trace(
    store: MetadataStore,
    *,
    model: str = "",
    version: int = 0,
    request_id: str = "",
    digest: str = "",
) -> tuple[Trace, ...]:
    """The runs that match all given values, newest first."""
    matching = []
    for context in _runs(store):
        properties = context.custom_properties
        filters = [
            (model, properties[_PREFIX + "model"].string_value),
            (request_id, properties[_PREFIX + "request_id"].string_value),
            (digest, properties[_PREFIX + "digest"].string_value),
            (version, properties[_PREFIX + "version"].int_value),
        ]
        if all(not expected or expected == actual for expected, actual in filters):
            matching.append((context.create_time_since_epoch, context.id, context))
    return tuple(_trace(store, context) for _, _, context in sorted(matching, reverse=True))


def _runs(store: MetadataStore) -> Iterable[Any]:
    return [
        context
        for context in store.get_contexts_by_type(_TYPE)
        if _PREFIX + "request_id" in context.custom_properties
    ]


def _trace(store: MetadataStore, context: Any) -> Trace:
    properties = context.custom_properties
    executions = sorted(store.get_executions_by_context(context.id), key=lambda e: e.id)
    artifacts = store.get_artifacts_by_context(context.id)
    return Trace(
        run_id=context.name,
        outcome=properties[_PREFIX + "outcome"].string_value,
        model=properties[_PREFIX + "model"].string_value,
        request_id=properties[_PREFIX + "request_id"].string_value,
        version=properties[_PREFIX + "version"].int_value,
        digest=properties[_PREFIX + "digest"].string_value,
        base_version=properties[_PREFIX + "base_version"].int_value,
        schema_version=properties[_PREFIX + "schema_version"].int_value,
        schema_digest=properties[_PREFIX + "schema_digest"].string_value,
        caused_by=_decode(properties[_PREFIX + "caused_by"].string_value, tuple[str, ...]),
        events=_decode(properties[_PREFIX + "events"].string_value, tuple[OffsetRange, ...]),
        labels=_decode(properties[_PREFIX + "labels"].string_value, tuple[OffsetRange, ...]),
        components=tuple(_component(execution) for execution in executions),
        set_aside=_decode(properties[_PREFIX + "set_aside"].string_value or "[]", Breaches),
        artifacts=tuple((artifact.type, artifact.uri) for artifact in artifacts),
    )


def _component(execution: metadata_store_pb2.Execution) -> ComponentRun:
    milliseconds = execution.last_update_time_since_epoch - execution.create_time_since_epoch
    return ComponentRun(name=execution.type.rsplit(".", 1)[-1], seconds=milliseconds / 1000.0)


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _decode(text: str, kind: Any) -> Any:
    return msgspec.json.decode(text, type=kind)
