"""A model's schema as the log has it: versions, proposals and the newest verdict."""

from __future__ import annotations

import time
from pathlib import Path

from msgspec.structs import replace

from deploy.app.deployment import Deployment
from deploy.records import reader
from deploy.records.reader import newest
from streaming.contracts.errors import ConfigurationError, NotFoundError
from streaming.contracts.log import RecordLog
from streaming.contracts.records import (
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
    WindowSummary,
)
from streaming.engines.tfdv import schema_text
from streaming.schema import check_schema, schema_thresholds, version_from_file


def versions(log: RecordLog, model: str) -> list[SchemaVersion]:
    """Every version, ascending."""
    return sorted(reader.records(log, SchemaVersion, model), key=lambda version: version.version)


def current(deployment: Deployment, log: RecordLog, model: str) -> SchemaVersion:
    """The version in force; before the daemon has published one, the model's file as version 0.

    Raises
    ------
    ConfigurationError
        When the model has no schema.
    """
    published = versions(log, model)
    if published:
        return published[-1]
    path = deployment.contract(model).schema_path
    if not path:
        raise ConfigurationError(f"{model} has no schema; put a schema.pbtxt beside its code.")
    text = schema_text.read_text(Path(path))
    schema_text.parse(text, path)
    return unpublished(text, model)


def unpublished(text: str, model: str) -> SchemaVersion:
    """The model's file as version 0: in force, but not yet in the log."""
    return replace(version_from_file(text, model=model, current=None, now=time.time()), version=0)


def numbered(
    deployment: Deployment, log: RecordLog, model: str, number: int | None
) -> SchemaVersion:
    """A version by its number, or the one in force for None; raises `NotFoundError`."""
    if number is None:
        return current(deployment, log, model)
    matching = [version for version in versions(log, model) if version.version == number]
    if not matching:
        raise NotFoundError(
            f"{model} has no schema version {number}; `driftline schema history {model}` lists "
            "them."
        )
    return matching[-1]


def proposals(log: RecordLog, model: str | None = None) -> list[SchemaProposal]:
    """All proposals in their newest state, oldest first."""
    by_id = {record.proposal_id: record for record in reader.records(log, SchemaProposal, model)}
    return list(by_id.values())


def proposal(log: RecordLog, prefix: str) -> SchemaProposal:
    """The one proposal whose id begins with `prefix`; raises `NotFoundError`."""
    matching = [record for record in proposals(log) if record.proposal_id.startswith(prefix)]
    if len(matching) != 1:
        raise NotFoundError(
            f"{len(matching) or 'No'} proposals begin with {prefix!r}; "
            "`driftline schema propose MODEL` shows the newest."
        )
    return matching[0]


def verdict(deployment: Deployment, log: RecordLog, model: str) -> SchemaVerdict:
    """The stream job's newest verdict; before the first one, the newest windows are judged here.

    Raises
    ------
    NotFoundError
        When the model has no window.
    """
    in_force = current(deployment, log, model)
    verdicts = newest(log, SchemaVerdict, model, 1)
    if verdicts:
        return verdicts[0]
    tolerance = deployment.tolerance(model)
    windows = newest(log, WindowSummary, model, tolerance.of)
    if not windows:
        raise NotFoundError(f"{model} has no window yet; `driftline job status {model}`.")
    schema, seconds = schema_text.schema_of(in_force), deployment.contract(model).window_seconds
    thresholds = schema_thresholds(
        deployment.drift_rules(model),
        columns=len(schema.columns),
        window_seconds=seconds,
        tolerance=tolerance,
    )
    windows.sort(key=lambda window: window.window_start)
    return check_schema(schema, windows, thresholds)
