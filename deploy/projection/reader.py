"""Answers the questions of the pages from the projection. No method reads the log."""

from __future__ import annotations

import math
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from deploy.projection import database
from deploy.projection.queries import SQL, Query
from deploy.projection.rows import Row, kind_of
from streaming.contracts.codec import record_in
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import AnyRecord, OffsetRange, Record

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Row):
    """A row, with the place of the full record in the log."""

    topic: str
    partition: int
    position: int

    @property
    def span(self) -> OffsetRange:
        """The one offset of the full record."""
        return OffsetRange(
            topic=self.topic,
            partition=self.partition,
            start=self.position,
            stop=self.position + 1,
        )


@dataclass(frozen=True, slots=True)
class UnreadableMessage:
    """A message of a record topic that this release cannot read."""

    topic: str
    partition: int
    position: int
    problem: str


@dataclass(frozen=True, slots=True)
class Bin:
    """The measures of a part of time."""

    at: float
    """Mean time of its records, seconds since 1970."""
    largest: float
    mean: float
    severity: int
    """Of the worst outcome: 2 drifted or degraded, 1 suspected, 0 any other."""
    count: int
    """Number of records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandFilter:
    """Which commands are asked for; an empty text matches all."""

    models: tuple[str, ...]
    person: str = ""
    action: str = ""
    answer: str = ""
    """``accepted``, ``refused``, or ``none`` for commands without a reply."""
    since: float = 0.0
    """Commands of this time and later, seconds since 1970."""
    before: float = math.inf
    """Commands before this time, seconds since 1970."""


class ProjectionReader:
    """Queries of the projection; each thread has a connection of its own.

    Parameters
    ----------
    folder:
        Folder of the projection.

    Raises
    ------
    NotFoundError
        When there is no projection, or it has the tables of another release.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / database.FILE
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._opening = threading.Lock()
        try:
            version = database.format_of(self._connection)
        except sqlite3.OperationalError:
            version = 0
        if version != database.FORMAT:
            raise NotFoundError(
                f"There is no projection of this release in {folder}; `driftline console` makes it."
            )

    @property
    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = database.open_to_read(self._file)
            with self._opening:
                self._opened.append(connection)
        return connection

    def close(self) -> None:
        """Close the connections of all threads."""
        for connection in self._opened:
            connection.close()

    # ---------------------------------------------------------------- slim rows

    def newest(
        self, kind: type[AnyRecord], model: str | None = None, count: int = 1
    ) -> list[Stored]:
        """The newest rows of a kind, newest first; of all models where none is named."""
        if model is None:
            return self._rows("newest_of_all_models", kind=kind_of(kind), count=count)
        return self._rows("newest", model=model, kind=kind_of(kind), count=count)

    def newest_of_each(self, kind: type[AnyRecord], models: Iterable[str]) -> dict[str, Stored]:
        """The newest row of a kind of each of the models that has one."""
        names = msgspec.json.encode(list(models)).decode()
        rows = self._rows("newest_of_each_model", models=names, kind=kind_of(kind))
        return {row.model: row for row in rows}

    def timeline(self, model: str, *, since: float, count: int) -> list[Stored]:
        """The newest rows of a model of any kind, newest first."""
        return self._rows("timeline", model=model, since=since, count=count)

    def since(self, kind: type[AnyRecord], at: float, count: int) -> list[Stored]:
        """The newest rows of a kind of all models that are not older than `at`, newest first."""
        return self._rows("timeline_of_all_models", kind=kind_of(kind), since=at, count=count)

    def of_subject(self, kind: type[AnyRecord], subject: str, count: int = 100) -> list[Stored]:
        """The rows of a kind that belong to a rollout, request, command …, newest first."""
        if not subject:
            return []
        return self._rows("of_subject", subject=subject, kind=kind_of(kind), count=count)

    def of_version(
        self, kind: type[AnyRecord], model: str | None, version: int, count: int = 1
    ) -> list[Stored]:
        """The rows of a kind that are about a version, newest first; None: of any model."""
        if model is None:
            return self._rows(
                "of_version_of_all_models", version=version, kind=kind_of(kind), count=count
            )
        return self._rows(
            "of_version", model=model, version=version, kind=kind_of(kind), count=count
        )

    def of_window(
        self, kind: type[AnyRecord], model: str | None, time: float, count: int = 1
    ) -> list[Stored]:
        """The rows of a kind on the window that has this event time, newest first."""
        if model is None:
            return self._rows("of_window_of_all_models", kind=kind_of(kind), time=time, count=count)
        return self._rows("of_window", model=model, kind=kind_of(kind), time=time, count=count)

    def before(self, kind: type[AnyRecord], model: str, at: float, count: int = 1) -> list[Stored]:
        """The newest rows of a kind and model that are older than `at`, newest first."""
        return self._rows("newest_before", model=model, kind=kind_of(kind), before=at, count=count)

    def of_model_since(
        self, kind: type[AnyRecord], model: str, at: float, count: int
    ) -> list[Stored]:
        """The newest rows of a kind and model that are not older than `at`, newest first."""
        return self._rows("of_model_since", model=model, kind=kind_of(kind), since=at, count=count)

    def by_bin(
        self, kind: type[AnyRecord], model: str, start: float, stop: float, bins: int
    ) -> list[Bin]:
        """The measures of a kind and model from `start` to `stop`, oldest first.

        Parameters
        ----------
        bins:
            Number of equally long parts; those without a measure are left out.
        """
        parameters = {
            "model": model,
            "kind": kind_of(kind),
            "since": start,
            "before": stop,
            "seconds": max(stop - start, 1e-3) / bins,
        }
        return [Bin(*row) for row in self._connection.execute(SQL["by_bin"], parameters)]

    def commands(self, wanted: CommandFilter, *, count: int, skip: int = 0) -> list[Stored]:
        """People's commands, newest first.

        Parameters
        ----------
        skip:
            Number of the newest ones that are left out.
        """
        return self._rows(
            "commands",
            models=msgspec.json.encode(wanted.models).decode(),
            person=wanted.person,
            action=wanted.action,
            answer=wanted.answer,
            since=wanted.since,
            before=wanted.before,
            count=count,
            skip=skip,
        )

    def people(self, models: Iterable[str], since: float = 0.0) -> list[str]:
        """Everybody who gave a command for one of the models, in alphabetical order."""
        names = msgspec.json.encode(list(models)).decode()
        rows = self._connection.execute(SQL["people"], {"models": names, "since": since})
        return sorted(person for (person,) in rows if person)

    def open_requests(self, count: int = 100) -> list[Stored]:
        """Approval requests without an outcome, newest first."""
        return self._rows("open_requests", count=count)

    def find(self, record_id: str) -> Stored | None:
        """The row of a record; None when it is not known."""
        return next(iter(self._rows("by_id", record_id=record_id)), None)

    def find_by_prefix(self, prefix: str) -> list[Stored]:
        """Rows whose ids begin so, at most two: more than one means that it is not unique."""
        return self._rows("by_prefix", prefix=prefix, after=f"{prefix}~", count=2)

    def at_position(self, topic: str, partition: int, position: int) -> Stored | None:
        """The row of the record at an offset; None when there is none."""
        rows = self._rows("by_position", topic=topic, partition=partition, position=position)
        return next(iter(rows), None)

    def causes(self, record_id: str, count: int = 100) -> list[Stored]:
        """The known records that caused one, in the order in which it names them."""
        return self._rows("causes", record_id=record_id, count=count)

    def effects(self, record_id: str, count: int = 100) -> list[Stored]:
        """The records that one caused, oldest first."""
        rows = self._rows("effects", record_id=record_id, count=count)
        return sorted(rows, key=lambda row: row.at)

    # ------------------------------------------------------------- full records

    def body(self, record_id: str) -> bytes | None:
        """The JSON of a full record; None when the projection does not keep it."""
        row = self._connection.execute(SQL["body"], {"record_id": record_id}).fetchone()
        return None if row is None else zlib.decompress(row[0])

    def record(self, record_id: str, kind: type[R]) -> R | None:
        """A full record; None when the projection does not keep it, or it has another kind."""
        record = record_in(self.body(record_id))
        return record if isinstance(record, kind) else None

    def records(self, kind: type[R], model: str, count: int) -> list[R]:
        """The newest full records of a kind and model, oldest first."""
        parameters = {"model": model, "kind": kind_of(kind), "count": count}
        rows = self._connection.execute(SQL["bodies"], parameters).fetchall()
        decoded = (record_in(zlib.decompress(packed)) for (packed,) in reversed(rows))
        return [record for record in decoded if isinstance(record, kind)]

    def newest_record(self, kind: type[R], model: str) -> R | None:
        """The newest full record of a kind and model; None without any."""
        return next(iter(self.records(kind, model, 1)), None)

    def full(self, rows: Sequence[Stored], kind: type[R]) -> list[R]:
        """The full records of rows, in their order; those that are not kept are left out."""
        records = (self.record(row.record_id, kind) for row in rows)
        return [record for record in records if record is not None]

    # ---------------------------------------------------------------- the state

    def unreadable(self, count: int = 20) -> list[UnreadableMessage]:
        """Messages that this release cannot read."""
        rows = self._connection.execute(SQL["unreadable"], {"count": count})
        return [UnreadableMessage(*row) for row in rows]

    def positions(self) -> dict[tuple[str, int], int]:
        """The next offset to read of each topic and partition."""
        rows = self._connection.execute(SQL["positions"])
        return {(topic, partition): following for topic, partition, following in rows}

    def _rows(self, query: Query, **parameters: object) -> list[Stored]:
        rows = self._connection.execute(SQL[query], parameters)
        return [
            Stored(
                record_id=row[0],
                kind=row[1],
                model=row[2],
                at=row[3],
                version=row[4],
                subject=row[5],
                outcome=row[6],
                headline=row[7],
                reason=row[8],
                window_start=row[9],
                window_end=row[10],
                measure=row[11],
                person=row[12],
                topic=row[13],
                partition=row[14],
                position=row[15],
            )
            for row in rows
        ]
