"""Reads what the verdicts on windows were computed from, and computes them again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import TypeVar

from deploy.records import reader
from streaming.baseline import SeasonalReference
from streaming.contracts import topics
from streaming.contracts.artifacts import ArtifactReader
from streaming.contracts.errors import DriftlineError
from streaming.contracts.log import RecordLog
from streaming.contracts.recomputed import ChangedInputError, MissingInputError, Recomputed
from streaming.contracts.records import (
    DriftVerdict,
    Promotion,
    Record,
    RulesInForce,
    SchemaVerdict,
    SchemaVersion,
    WindowSummary,
)
from streaming.drift.prepared_reference import PreparedReference
from streaming.drift.recompute import DriftReplay
from streaming.drift.window_rules import WindowRules
from streaming.engines.tfdv import schema_text
from streaming.job.references import read_reference
from streaming.schema import Schema
from streaming.schema.recompute import SchemaReplay

LOOKBACK = (50, 1000, inf)
"""Windows before the first one that a replay begins with; more where its history is not complete
then. A history forgets: mostly the first are enough."""
_CLOCK_SLACK = 3600.0

R = TypeVar("R", WindowSummary, DriftVerdict, SchemaVerdict)


def recompute_windows(
    log: RecordLog, store: ArtifactReader, model: str, chain: Iterable[Record]
) -> tuple[Recomputed, ...]:
    """The drift and schema verdicts of a chain, computed again.

    Parameters
    ----------
    log:
        The record log.
    store:
        The artifact store with the references.
    model:
        The model whose windows they are.
    chain:
        Records; those of other kinds are left out.
    """
    requested = [
        record
        for record in chain
        if isinstance(record, DriftVerdict | SchemaVerdict) and record.model == model
    ]
    if not requested:
        return ()
    names = {record.record_id for record in requested}
    first = min(record.window_start for record in requested)
    last = max(record.window_end for record in requested)
    seconds = max(record.window_end - record.window_start for record in requested)
    results: tuple[Recomputed, ...] = ()
    for windows in LOOKBACK:
        since = first - windows * seconds
        replayed = replay_windows(log, store, model, since=since, until=last)
        results = tuple(result for result in replayed if result.record_id in names)
        if all(result.outcome == "equal" for result in results):
            break
    return results


def replay_windows(
    log: RecordLog, store: ArtifactReader, model: str, *, since: float = -inf, until: float = inf
) -> tuple[Recomputed, ...]:
    """Every drift and schema verdict on a window in a period, computed again."""
    return tuple(_Replay(log, store, model).run(since, until))


class _Replay:
    """One replay of a model's windows."""

    def __init__(self, log: RecordLog, store: ArtifactReader, model: str) -> None:
        self._log, self._store, self._model = log, store, model
        self._rules = {r.digest: r for r in reader.stream(log, RulesInForce, model)}
        self._promotions = {r.record_id: r for r in reader.stream(log, Promotion, model)}
        self._schemas = {r.version: r for r in reader.stream(log, SchemaVersion, model)}
        self._references: dict[tuple[str, str], SeasonalReference] = {}

    def run(self, since: float, until: float) -> Iterator[Recomputed]:
        """Every verdict on a window that begins in the period, in the order of the windows."""
        drift = DriftReplay(self._rules.get, self._reference)
        schema = SchemaReplay(drift.rules, self._schema)
        windows = {w.record_id: w for w in self._between(WindowSummary, since, until)}
        verdicts = self._by_start(DriftVerdict, since, until)
        checks = self._by_start(SchemaVerdict, since, until)
        for start in sorted({*verdicts, *checks}):
            verdict, check = verdicts.get(start), checks.get(start)
            if verdict is not None:
                yield drift.add(_window_of(verdict, windows), verdict)
            if check is not None:
                yield schema.add(_window_of(check, windows), verdict, check)

    def _by_start(self, kind: type[R], since: float, until: float) -> dict[float, R]:
        """The records of a period by the start of their window; the last one of each counts."""
        return {record.window_start: record for record in self._between(kind, since, until)}

    def _between(self, kind: type[R], since: float, until: float) -> Iterator[R]:
        # a window is written after its end, so nothing of the period lies before its beginning
        after = max(0.0, since - _CLOCK_SLACK) if since > -inf else None
        for span in self._log.spans(topics.TOPIC_OF[kind].name, since=after):
            for record in reader.read(self._log, span, kind, self._model):
                if since <= record.window_start and record.window_end <= until:
                    yield record

    def _reference(self, verdict: DriftVerdict, rules: WindowRules) -> PreparedReference | None:
        name = verdict.reference_id
        promotion = self._promotions.get(name)
        if promotion is None or promotion.reference is None:
            raise MissingInputError(f"The promotion {name} and its reference are not on the log.")
        key = (name, verdict.rules_digest)
        if key not in self._references:
            try:
                self._references[key] = read_reference(
                    self._store, promotion.reference, rules.contract, rules.drift
                )
            except (DriftlineError, OSError) as error:
                raise MissingInputError(f"Its reference cannot be read: {error}") from error
        return self._references[key].at(verdict.window_start, verdict.window_end)

    def _schema(self, verdict: SchemaVerdict, rules: WindowRules) -> Schema:
        number = verdict.schema_version
        version = self._schemas.get(number)
        if number and version is None:
            raise MissingInputError(f"Schema version {number} is not on the log.")
        text = rules.schema_text if version is None else version.text
        schema = schema_text.to_schema(text, number)
        if schema.digest != verdict.schema_digest:
            raise ChangedInputError(f"Schema version {number} is not the one that it names.")
        return schema


def _window_of(
    verdict: DriftVerdict | SchemaVerdict, windows: Mapping[str, WindowSummary]
) -> WindowSummary | None:
    return windows.get(verdict.caused_by[0]) if verdict.caused_by else None
