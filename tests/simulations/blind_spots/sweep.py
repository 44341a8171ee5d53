"""One kind of feature at one window size: every change on it, judged by every detector."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np

from streaming.contracts.records import WindowSummary
from streaming.drift import prepare_reference
from streaming.engines.tfdv import schema_text as texts
from streaming.engines.tfdv.validation import Statistics
from streaming.schema import schema_thresholds
from tests.competitors.competitor import Competitor
from tests.simulations.blind_spots.changes import CHANGES, LOST, MISSING, SweepChange
from tests.simulations.blind_spots.driftline import WINDOWS, Judge, StreamVerdicts
from tests.simulations.blind_spots.kinds import FEATURE, KINDS, Column, SweepKind
from tests.simulations.blind_spots.others import (
    NumberDetectors,
    TextDetectors,
    Windows,
    missing_series,
    quiet_missing,
    series_delays,
    tuned_on,
)
from tests.simulations.blind_spots.rows import FEATURES, HOUR, Summariser, schema_text
from tests.simulations.power import DEFAULT_FLOORS, FLOORS_OFF

SIZES = 200, 1_000, 10_000
"""Rows of a window."""
REFERENCE_WINDOWS, REFERENCE_ROWS = 10, 20_000
RULES = {"floors off": FLOORS_OFF, "default floors": DEFAULT_FLOORS}


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepCell:
    """What became of one change of one kind of feature, at one window size."""

    change: str
    """Family and size."""
    kind: str
    rows: int
    names: frozenset[str]
    """Right names of the change."""
    is_hidden: bool
    """Whether the change leaves the distribution of the feature as it is."""
    is_quiet: bool
    """Whether nothing changed at all."""
    ours: dict[str, list[StreamVerdicts]]
    """By rules: what the verdicts said, for each stream."""
    others: dict[str, list[float]]
    """By detector: windows until it alarmed, for each stream."""

    @classmethod
    def empty(cls, change: SweepChange, kind: str, rows: int) -> SweepCell:
        """The cell without any stream."""
        return cls(
            change=change.name,
            kind=kind,
            rows=rows,
            names=change.names,
            is_hidden=kind in change.hidden,
            is_quiet=not change.names and kind not in change.hidden,
            ours={rule: [] for rule in RULES},
            others={},
        )


def changes_of(kind: str) -> list[SweepChange]:
    """The changes that make sense for a kind."""
    return [change for change in CHANGES if kind in change.kinds]


def seeded(seed: int, *names: object) -> np.random.Generator:
    """Random numbers that depend on these names only, so that a part of the sweep gives the same
    figures as the whole."""
    return np.random.default_rng([seed, *(zlib.crc32(str(name).encode()) for name in names)])


class Feature:
    """One kind of feature with its reference."""

    def __init__(self, kind: SweepKind, seed: int) -> None:
        self.kind = kind
        rng = seeded(seed, kind.name)
        domains = {FEATURE: kind.vocabulary} if kind.is_closed else {}
        text = schema_text([kind.spec], domains)
        self._summariser = Summariser((kind.spec,), Statistics(text=text))
        columns = [kind.draw(rng, REFERENCE_ROWS) for _ in range(REFERENCE_WINDOWS)]
        self.reference: Column = np.concatenate(columns)
        windows = [self._window(rng, column, MISSING, -1 - n) for n, column in enumerate(columns)]
        contract, schema = self._summariser.judged, texts.to_schema(text)
        self.judge = Judge(
            contract=contract,
            reference=prepare_reference(
                Summariser.reference([window for window, _ in windows]), contract
            ),
            schema=schema,
            thresholds=schema_thresholds(FLOORS_OFF, columns=FEATURES, window_seconds=HOUR),
            features=(FEATURE,),
        )

    def _window(
        self, rng: np.random.Generator, column: Column, share: float, number: int
    ) -> tuple[WindowSummary, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
        """The record of a window, and which rows have a value."""
        missing = rng.random(len(column)) < share
        array = self.kind.arrow(column, missing)
        present = ~array.is_null().to_numpy(zero_copy_only=False)
        return self._summariser.window([array], number), present

    def stream(
        self, change: SweepChange, rng: np.random.Generator, rows: int
    ) -> tuple[list[WindowSummary], Windows]:
        """The windows after a change, as records and as values."""
        records, columns = [], []
        for number in range(WINDOWS):
            column = change.apply(rng, self.kind, self.kind.draw(rng, rows))
            record, present = self._window(rng, column, change.missing, number)
            records.append(record)
            columns.append(column[present])
        return records, Windows(columns, rows)

    @cached_property
    def others(self) -> NumberDetectors | TextDetectors:
        """The other detectors with this reference, not tuned yet."""
        rng = seeded(0, self.kind.name, "others")
        detectors = TextDetectors if self.kind.is_text else NumberDetectors
        return detectors(self.kind, self.reference, rng)


def measure(
    name: str,
    rows: int,
    changes: Sequence[SweepChange],
    *,
    streams: int,
    seed: int,
    river: Competitor | None,
) -> list[SweepCell]:
    """Every change of one kind at one window size; without `river` only Driftline."""
    feature = Feature(KINDS[name], seed)
    drawn: dict[str, list[Windows]] = {}
    cells = []
    for change in changes:
        rng = seeded(seed, name, rows, change.name)
        cell = SweepCell.empty(change, name, rows)
        for _ in range(streams):
            records, windows = feature.stream(change, rng, rows)
            for rule, rules in RULES.items():
                cell.ours[rule].append(feature.judge.judged(records, rules))
            drawn.setdefault(change.name, []).append(windows)
        cells.append(cell)
    if river is not None:
        _add_others(cells, drawn, feature, river, seeded(seed, name, rows, "others"))
    return cells


def _add_others(
    cells: Sequence[SweepCell],
    drawn: dict[str, list[Windows]],
    feature: Feature,
    river: Competitor,
    rng: np.random.Generator,
) -> None:
    """The delays of the other detectors. Only detectors of series can read missing shares; then
    they do."""
    others, rows = feature.others, cells[0].rows
    means = others.tune(rows)
    lacking = quiet_missing(rng, rows)
    of_missing = tuned_on(river, lacking, rng)
    of_means = () if means is None else tuned_on(river, means, rng)
    for cell in cells:
        streams = drawn[cell.change]
        is_missing = cell.names == LOST
        for windows in streams:
            for name, delay in others.delays(windows).items():
                cell.others.setdefault(name, []).append(inf if is_missing else delay)
        if is_missing:
            series = [
                missing_series([rows - len(column) for column in windows.columns], rows)
                for windows in streams
            ]
            cell.others.update(series_delays(river, of_missing, lacking, series, rng))
        elif means is not None and isinstance(others, NumberDetectors):
            series = [others.series(windows) for windows in streams]
            cell.others.update(series_delays(river, of_means, means, series, rng))


__all__ = ["SIZES", "Feature", "SweepCell", "changes_of", "measure", "seeded"]
