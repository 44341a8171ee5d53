"""Follows causes through the projection, in both directions.

`trace` gives the same chain as `deploy.records.lineage.trace` from a few indexed rows. It needs
full records; those that the projection does not keep are read from the log at their offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deploy.projection.reader import ProjectionReader, Stored
from deploy.projection.rows import kind_of
from deploy.records.effects import MAX_EFFECTS, Effect, effects_of
from deploy.records.lineage import CHAIN, Link, chain_of, no_such_record
from deploy.records.targets import SHORTEST_ID, Target, parse_target
from streaming.contracts.codec import record_in
from streaming.contracts.log import RecordLog
from streaming.contracts.records import AnyRecord, DriftVerdict, ModelVersion, Promotion

Direction = Literal["causes", "effects"]
MAX_VERSIONS = 10_000
"""Newest versions among which a digest is searched."""


@dataclass(frozen=True, slots=True)
class Step:
    """A record on a way through the causes."""

    row: Stored
    depth: int
    """Distance from the record that the way begins at; 0 is that record."""
    repeated: bool = False
    """Whether its own causes or effects stand at another place of the list."""


def steps(
    reader: ProjectionReader, start: Stored, direction: Direction, *, depth: int, count: int
) -> list[Step]:
    """A record with all its causes, or all its effects, as an indented list.

    Parameters
    ----------
    depth:
        How far it is followed.
    count:
        How many records are listed at most.
    """
    listed: list[Step] = []
    seen: set[str] = set()

    def add(row: Stored, distance: int) -> None:
        if len(listed) >= count:
            return
        repeated = row.record_id in seen
        listed.append(Step(row, distance, repeated))
        if repeated or distance >= depth:
            return
        seen.add(row.record_id)
        following = reader.causes if direction == "causes" else reader.effects
        for neighbour in following(row.record_id, count):
            add(neighbour, distance + 1)

    add(start, 0)
    return listed


def find(reader: ProjectionReader, text: str, model: str | None = None) -> Stored | None:
    """The row behind a record id, its beginning, a version's number or digest, or a window."""
    target = parse_target(text, model)
    if len(text) >= SHORTEST_ID:
        named = reader.find(text) or next(iter(reader.find_by_prefix(text)), None)
        if named is not None:
            return named
    version = target.version or _version_of(reader, target)
    kinds: tuple[type[AnyRecord], ...] = (Promotion, ModelVersion)
    for kind in kinds:
        rows = reader.of_version(kind, model, version) if version else []
        if rows:
            return rows[0]
    if target.time is None:
        return None
    return next(iter(reader.of_window(DriftVerdict, model, target.time)), None)


def _version_of(reader: ProjectionReader, target: Target) -> int:
    """The number of the version with this digest; 0 without one."""
    for row in reader.newest(ModelVersion, target.model, MAX_VERSIONS):
        record = reader.record(row.record_id, ModelVersion)
        if record is not None and target.is_digest(record.artifact.digest):
            return record.version
    return 0


def trace(reader: ProjectionReader, log: RecordLog, target: str, model: str | None = None) -> Link:
    """The chain behind a record or a version, as `deploy.records.lineage.trace` gives it.

    Raises
    ------
    NotFoundError
        When no record and no version matches `target`.
    """
    start = find(reader, target, model)
    if start is None:
        raise no_such_record(target)
    by_id: dict[str, AnyRecord] = {}
    queue = [start]
    while queue:
        row = queue.pop()
        if row.record_id in by_id:
            continue
        record = full_record(reader, log, row)
        if record is None:
            continue
        by_id[row.record_id] = record
        causes = reader.causes(row.record_id, len(record.caused_by))
        queue += [cause for cause in causes if cause.kind in _IN_CHAIN]
    if start.record_id not in by_id:
        raise no_such_record(target)
    return chain_of(by_id[start.record_id], by_id)


def trace_effects(reader: ProjectionReader, log: RecordLog, start: AnyRecord) -> Effect:
    """Everything that a record caused, as `deploy.records.effects.trace_effects` gives it."""

    def effects(record_id: str) -> list[AnyRecord]:
        rows = reader.effects(record_id, MAX_EFFECTS + 1)
        records = (full_record(reader, log, row) for row in rows if row.kind in _IN_CHAIN)
        return [record for record in records if record is not None]

    return effects_of(start, effects)


_IN_CHAIN = {kind_of(topic.record) for topic in CHAIN if topic.record is not None}
"""Kinds that a chain consists of: a verdict stands for its window, whose summary is large and says
no more to people."""


def full_record(reader: ProjectionReader, log: RecordLog, row: Stored) -> AnyRecord | None:
    """The full record, from the projection or else from the log; None when neither has it."""
    body = reader.body(row.record_id)
    if body is not None:
        return record_in(body)
    messages = (message for message in log.read(row.span) if message.offset == row.position)
    record = next((record_in(message.value) for message in messages), None)
    return record if record is not None and record.record_id == row.record_id else None
