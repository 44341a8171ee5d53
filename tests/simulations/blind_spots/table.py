"""Tables of the sweep: a row for each cell, the weak cells, and a summary by detector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf

import numpy as np

from tests.simulations.blind_spots.driftline import WINDOWS, StreamVerdicts
from tests.simulations.blind_spots.sweep import RULES, SweepCell
from tests.simulations.power import DEFAULT_FLOORS

MIN_FOUND = 0.9
"""A change is found when it is found in this share of the streams."""
MIN_NAMED = 0.8
"""It is named rightly when this share of the alarms name it rightly."""
MISSED, WRONG, FEW_ROWS, FLOOR = "missed", "wrongly named", "too few rows", "below the floor"
WEAK = frozenset({MISSED, WRONG, "false alarm"})
OTHERS = {
    "TFDV": "TFDV", "Evidently": "Evidently", "KS": "KS", "page-hinkley": "Page-Hinkley",
    "adwin": "ADWIN",
}  # fmt: skip
"""The other detectors and their columns."""
Outcomes = Mapping[tuple[str, str, int, str], str]
"""Outcome by change, kind, rows and rules."""


def found_share(delays: Sequence[float]) -> float:
    """Share of the streams in which a detector alarmed within the windows.

    >>> found_share([1.0, 5.0, inf, 6.0])
    0.5
    """
    return sum(delay <= WINDOWS for delay in delays) / len(delays)


def named(cell: SweepCell, streams: Sequence[StreamVerdicts]) -> float:
    """Share of the alarms that name the change rightly; 1 where there was no alarm."""
    alarmed = [stream for stream in streams if stream.windows < inf]
    if not alarmed:
        return 1.0
    return sum(stream.name in cell.names for stream in alarmed) / len(alarmed)


def _outcome(cell: SweepCell, rule: str) -> str:
    streams = cell.ours[rule]
    share = found_share([stream.windows for stream in streams])
    if cell.is_quiet:
        return "quiet" if share <= 1.0 - MIN_FOUND else "false alarm"
    if cell.is_hidden:
        return "limit" if share < MIN_FOUND else "found"
    if share < MIN_FOUND:
        return MISSED
    return "found" if named(cell, streams) >= MIN_NAMED else WRONG


def outcomes_of(cells: Sequence[SweepCell]) -> Outcomes:
    """What became of each cell, and why a change was missed.

    * ``found``, ``wrongly named``;
    * ``too few rows``: missed, and found with more rows in a window;
    * ``below the floor``: missed with the default floors only, and smaller than the floor;
    * ``missed``: nothing of that, a blind spot;
    * ``limit``: the change leaves the distribution of the feature as it is;
    * ``quiet``, ``false alarm``: nothing changed.
    """
    raw = {(c.change, c.kind, c.rows, rule): _outcome(c, rule) for c in cells for rule in RULES}
    outcomes = dict(raw)
    for cell in cells:
        for rule, streams in cell.ours.items():
            key = (cell.change, cell.kind, cell.rows, rule)
            if raw[key] != MISSED:
                continue
            effect = float(np.median([stream.effect for stream in streams]))
            without = raw[cell.change, cell.kind, cell.rows, "floors off"]
            larger = {
                outcome
                for (change, kind, rows, rules), outcome in raw.items()
                if (change, kind, rules) == (cell.change, cell.kind, rule) and rows > cell.rows
            }
            if without != MISSED and effect < DEFAULT_FLOORS.suspected_sd:
                outcomes[key] = FLOOR
            elif larger & {"found", WRONG}:
                outcomes[key] = FEW_ROWS
    for change, kind, rows, rule in list(outcomes):
        # Too few rows to see that it is below the floor.
        above = {outcomes.get((change, kind, size, rule)) for size in (1_000, 10_000)}
        if outcomes[change, kind, rows, rule] == MISSED and FLOOR in above:
            outcomes[change, kind, rows, rule] = FLOOR
    return outcomes


def row_of(cell: SweepCell, outcomes: Outcomes) -> dict[str, object]:
    """The cell as a row of the table."""
    row: dict[str, object] = {
        "change": cell.change,
        "kind": cell.kind,
        "rows": f"{cell.rows:,}",
    }
    for rule, streams in cell.ours.items():
        outcome = outcomes[cell.change, cell.kind, cell.rows, rule]
        row[f"ours, {rule}"] = f"{outcome}: {_delay([stream.windows for stream in streams])}"
        row[f"named, {rule}"] = _names(streams)
    row["verdicts"] = _sources(cell.ours["default floors"])
    row["effect / limit"] = _effect(cell.ours["default floors"])
    row |= {
        column: _delay(cell.others[name]) if name in cell.others else "–"
        for name, column in OTHERS.items()
    }
    return row


def _delay(delays: Sequence[float]) -> str:
    """Share found, and the median delay of those."""
    in_time = [delay for delay in delays if delay <= WINDOWS]
    return f"{found_share(delays):.0%} ({np.median(in_time):g})" if in_time else "0%"


def _names(streams: Sequence[StreamVerdicts]) -> str:
    names = Counter(stream.name for stream in streams if stream.name)
    return ", ".join(f"{name} {count}" for name, count in names.most_common(3))


def _sources(streams: Sequence[StreamVerdicts]) -> str:
    sources = Counter(source for stream in streams for source in stream.by)
    return ", ".join(f"{name} {count}" for name, count in sorted(sources.items()))


def _effect(streams: Sequence[StreamVerdicts]) -> str:
    pairs = [(stream.effect, stream.limit) for stream in streams]
    effect, limit = np.median(pairs, axis=0).tolist()
    return f"{effect:.2f} / {limit:.2f}"


def summary_of(cells: Sequence[SweepCell], outcomes: Outcomes) -> list[dict[str, object]]:
    """How many of the cells each detector finds, and what becomes of the others."""
    changed = [cell for cell in cells if not cell.is_hidden and not cell.is_quiet]
    quiet = [cell for cell in cells if cell.is_quiet]
    rows: list[dict[str, object]] = []
    for rule in RULES:
        counted = Counter(outcomes[c.change, c.kind, c.rows, rule] for c in changed)
        alarms = [found_share([s.windows for s in cell.ours[rule]]) for cell in quiet]
        rows.append(_summary(f"ours, {rule}", len(changed), counted, alarms))
    for name, column in OTHERS.items():
        judged = [cell for cell in changed if name in cell.others]
        counted = Counter(
            "found" if found_share(cell.others[name]) >= MIN_FOUND else MISSED for cell in judged
        )
        alarms = [found_share(cell.others[name]) for cell in quiet if name in cell.others]
        rows.append(_summary(column, len(judged), counted, alarms))
    return rows


def _summary(
    name: str, cells: int, counted: Mapping[str, int], alarms: Sequence[float]
) -> dict[str, object]:
    ours = name.startswith("ours")
    return {
        "detector": name,
        "cells": cells,
        "found": counted.get("found", 0) + counted.get(WRONG, 0),
        "of these wrongly named": counted.get(WRONG, 0) if ours else "–",
        "not found": sum(counted.values()) - counted.get("found", 0) - counted.get(WRONG, 0),
        FEW_ROWS: counted.get(FEW_ROWS, 0) if ours else "–",
        FLOOR: counted.get(FLOOR, 0) if ours else "–",
        "blind": counted.get(MISSED, 0) if ours else "–",
        "alarms where nothing changes": f"{np.mean(alarms):.1%}" if alarms else "–",
    }


def weak_cells(cells: Sequence[SweepCell], outcomes: Outcomes) -> list[dict[str, object]]:
    """The cells that are missed without a reason or named wrongly, with either rules."""
    return [
        row_of(cell, outcomes)
        for cell in cells
        if {outcomes[cell.change, cell.kind, cell.rows, rule] for rule in RULES} & WEAK
    ]


def families_of(cells: Sequence[SweepCell], outcomes: Outcomes) -> list[dict[str, object]]:
    """A row for each change and kind: the outcomes with the default floors by window size."""
    sizes = sorted({cell.rows for cell in cells})
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for cell in cells:
        row = rows.setdefault(
            (cell.change, cell.kind),
            {"change": cell.change, "kind": cell.kind, **{f"{size:,} rows": "" for size in sizes}},
        )
        off, floors = (outcomes[cell.change, cell.kind, cell.rows, rule] for rule in RULES)
        row[f"{cell.rows:,} rows"] = off if off == floors else f"{off}; with floors {floors}"
    return list(rows.values())
