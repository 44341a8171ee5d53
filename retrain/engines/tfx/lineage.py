"""What ML Metadata knows of a version: request, offsets, run, artifacts.

Each run's ``pipeline_run`` context gets the request's id, its offsets, the version and the digest
as custom properties, so that a version can be followed back to the very offsets it was trained on
by anybody who reads ML Metadata, without Driftline.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from streaming.contracts.records import ComponentRun, OffsetRange, RetrainRequest

_TYPE = "pipeline_run"
_PREFIX = "driftline_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One run, as ML Metadata remembers it."""

    run_id: str
    outcome: str
    """``trained``, or ``failed: <reason>``."""
    model: str
    request_id: str
    version: int
    digest: str
    """Of the built model; empty when the run failed."""
    base_version: int
    schema_version: int
    schema_digest: str
    """Of the schema that the examples were held against."""
    caused_by: tuple[str, ...]
    events: tuple[OffsetRange, ...]
    labels: tuple[OffsetRange, ...]
    components: tuple[ComponentRun, ...]
    artifacts: tuple[tuple[str, str], ...]
    """(type, URI) of everything the run made; a worker may have cleared the files away."""


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
) -> None:
    """Write a run's lineage. A run that never started a node has no context: it is skipped."""
    context = store.get_context_by_type_and_name(_TYPE, run_id)
    if context is None:
        return
    texts = {
        "outcome": outcome,
        "model": request.model,
        "request_id": request.record_id,
        "digest": digest,
        "schema_digest": schema_digest,
        "caused_by": _text(request.caused_by),
        "events": _text(request.events),
        "labels": _text(request.labels),
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
    """The runs that match everything asked for, newest first."""
    found = []
    for context in _runs(store):
        known = context.custom_properties
        asked = [
            (model, known[_PREFIX + "model"].string_value),
            (request_id, known[_PREFIX + "request_id"].string_value),
            (digest, known[_PREFIX + "digest"].string_value),
            (version, known[_PREFIX + "version"].int_value),
        ]
        if all(not wanted or wanted == value for wanted, value in asked):
            found.append((context.create_time_since_epoch, context.id, context))
    return tuple(_trace(store, context) for _, _, context in sorted(found, reverse=True))


def _runs(store: MetadataStore) -> Iterable[Any]:
    return [
        context
        for context in store.get_contexts_by_type(_TYPE)
        if _PREFIX + "request_id" in context.custom_properties
    ]


def _trace(store: MetadataStore, context: Any) -> Trace:
    known = context.custom_properties
    executions = sorted(store.get_executions_by_context(context.id), key=lambda one: one.id)
    artifacts = store.get_artifacts_by_context(context.id)
    return Trace(
        run_id=context.name,
        outcome=known[_PREFIX + "outcome"].string_value,
        model=known[_PREFIX + "model"].string_value,
        request_id=known[_PREFIX + "request_id"].string_value,
        version=known[_PREFIX + "version"].int_value,
        digest=known[_PREFIX + "digest"].string_value,
        base_version=known[_PREFIX + "base_version"].int_value,
        schema_version=known[_PREFIX + "schema_version"].int_value,
        schema_digest=known[_PREFIX + "schema_digest"].string_value,
        caused_by=_back(known[_PREFIX + "caused_by"].string_value, tuple[str, ...]),
        events=_back(known[_PREFIX + "events"].string_value, tuple[OffsetRange, ...]),
        labels=_back(known[_PREFIX + "labels"].string_value, tuple[OffsetRange, ...]),
        components=tuple(_component(one) for one in executions),
        artifacts=tuple((one.type, one.uri) for one in artifacts),
    )


def _component(execution: metadata_store_pb2.Execution) -> ComponentRun:
    took = execution.last_update_time_since_epoch - execution.create_time_since_epoch
    return ComponentRun(name=execution.type.rsplit(".", 1)[-1], seconds=took / 1000.0)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _back(text: str, kind: Any) -> Any:
    return msgspec.json.decode(text, type=kind)
