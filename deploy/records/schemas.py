"""Reads a model's schema from the log: its versions, its proposals, the newest verdict."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

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
from streaming.schema import check, from_file, limits
from streaming.schema.limits import OF

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment


def versions(log: RecordLog, model: str) -> list[SchemaVersion]:
    """Every version, ascending."""
    found = reader.records(log, SchemaVersion, model)
    return sorted(found, key=lambda version: version.version)


def current(deployment: Deployment, log: RecordLog, model: str) -> SchemaVersion:
    """The version in force; before the daemon published one, the model's file as version 0.

    Raises
    ------
    ConfigurationError
        When the model has no schema.
    """
    known = versions(log, model)
    if known:
        return known[-1]
    path = deployment.contract(model).schema_path
    if not path:
        raise ConfigurationError(f"{model} has no schema; put a schema.pbtxt beside its code.")
    text = schema_text.text_of(Path(path))
    schema_text.parse(text, path)
    return unpublished(text, model)


def unpublished(text: str, model: str) -> SchemaVersion:
    """The file as version 0: in force, and not yet on the log."""
    return replace(from_file(text, model=model, current=None, now=time.time()), version=0)


def numbered(
    deployment: Deployment, log: RecordLog, model: str, number: int | None
) -> SchemaVersion:
    """A version by number, None for the one in force; raises `NotFoundError`."""
    if number is None:
        return current(deployment, log, model)
    found = [one for one in versions(log, model) if one.version == number]
    if not found:
        raise NotFoundError(
            f"{model} has no schema version {number}; `driftline schema history {model}` lists "
            "them."
        )
    return found[-1]


def proposals(log: RecordLog, model: str | None = None) -> list[SchemaProposal]:
    """Every proposal in its newest state, oldest first."""
    found = {one.proposal_id: one for one in reader.records(log, SchemaProposal, model)}
    return list(found.values())


def proposal(log: RecordLog, ident: str) -> SchemaProposal:
    """The proposal whose id begins with `ident`; raises `NotFoundError`."""
    found = [one for one in proposals(log) if one.proposal_id.startswith(ident)]
    if len(found) != 1:
        raise NotFoundError(
            f"{len(found) or 'No'} proposals begin with {ident!r}; "
            "`driftline schema propose MODEL` shows the newest."
        )
    return found[0]


def verdict(deployment: Deployment, log: RecordLog, model: str) -> SchemaVerdict:
    """The stream job's newest verdict; where it gave none, the newest windows judged here.

    Raises
    ------
    NotFoundError
        When the model has no window.
    """
    in_force = current(deployment, log, model)
    given = newest(log, SchemaVerdict, model, 1)
    if given:
        return given[0]
    windows = newest(log, WindowSummary, model, OF)
    if not windows:
        raise NotFoundError(f"{model} has no window yet; `driftline job status {model}`.")
    schema, seconds = schema_text.of_version(in_force), deployment.contract(model).window_seconds
    allowed = limits(
        deployment.drift_rules(model), columns=len(schema.columns), window_seconds=seconds
    )
    windows.sort(key=lambda window: window.window_start)
    return check(schema, windows, allowed)
