"""Reads a model's schema from the log: its versions, its proposals, the newest verdict."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from deploy import history
from deploy.tail import newest
from streaming.contracts.errors import Misconfigured, NotFound
from streaming.contracts.log import RecordLog
from streaming.contracts.records import (
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
    WindowSummary,
)
from streaming.engines import schema_file
from streaming.schema import check, from_file, limits
from streaming.schema.limits import OF

if TYPE_CHECKING:
    from deploy.wiring import House


def versions(log: RecordLog, model: str) -> list[SchemaVersion]:
    """Every version, ascending."""
    found = history.records(log, SchemaVersion, model)
    return sorted(found, key=lambda version: version.version)


def current(house: House, log: RecordLog, model: str) -> SchemaVersion:
    """The version in force; before the daemon published one, the model's file as version 0.

    Raises
    ------
    Misconfigured
        When the model has no schema.
    """
    known = versions(log, model)
    if known:
        return known[-1]
    path = house.contract(model).schema_path
    if not path:
        raise Misconfigured(f"{model} has no schema; put a schema.pbtxt beside its code.")
    text = schema_file.text_of(Path(path))
    schema_file.parse(text, path)
    return unpublished(text, model)


def unpublished(text: str, model: str) -> SchemaVersion:
    """The file as version 0: in force, and not yet on the log."""
    return replace(from_file(text, model=model, current=None, now=time.time()), version=0)


def numbered(house: House, log: RecordLog, model: str, number: int | None) -> SchemaVersion:
    """A version by number, None for the one in force; raises `NotFound`."""
    if number is None:
        return current(house, log, model)
    found = [one for one in versions(log, model) if one.version == number]
    if not found:
        raise NotFound(
            f"{model} has no schema version {number}; `driftline schema history {model}` lists "
            "them."
        )
    return found[-1]


def proposals(log: RecordLog, model: str | None = None) -> list[SchemaProposal]:
    """Every proposal in its newest state, oldest first."""
    found = {one.proposal_id: one for one in history.records(log, SchemaProposal, model)}
    return list(found.values())


def proposal(log: RecordLog, ident: str) -> SchemaProposal:
    """The proposal whose id begins with `ident`; raises `NotFound`."""
    found = [one for one in proposals(log) if one.proposal_id.startswith(ident)]
    if len(found) != 1:
        raise NotFound(
            f"{len(found) or 'No'} proposals begin with {ident!r}; "
            "`driftline schema propose MODEL` shows the newest."
        )
    return found[0]


def verdict(house: House, log: RecordLog, model: str) -> SchemaVerdict:
    """The stream job's newest verdict; where it gave none, the newest windows judged here.

    Raises
    ------
    NotFound
        When the model has no window.
    """
    in_force = current(house, log, model)
    given = newest(log, SchemaVerdict, model, 1)
    if given:
        return given[0]
    windows = newest(log, WindowSummary, model, OF)
    if not windows:
        raise NotFound(f"{model} has no window yet; `driftline job status {model}`.")
    schema, seconds = schema_file.of_version(in_force), house.contract(model).window_seconds
    allowed = limits(house.drift_rules(model), columns=len(schema.columns), window_seconds=seconds)
    windows.sort(key=lambda window: window.window_start)
    return check(schema, windows, allowed)
