"""The choice of `training_rows`, by columns: the same rows in a hundredth of the time. Pure.

`training_rows.choose_rows` is the rule; a test compares both on random rows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrain.training_rows import (
    balanced_strata,
    class_counts,
    digest_of,
    held_back_below,
    largest_count,
)
from streaming.contracts.ids import number_of
from streaming.contracts.records import ClassCount, RowRules, RowSelection

Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowColumns:
    """Labelled rows, each key once, in the order of their key's hash. All arrays are [rows]."""

    hashes: NDArray[np.uint64]
    """Hash of the key, ascending."""
    times: NDArray[np.float64]
    """Event time, seconds since 1970."""
    after_shift: Mask
    """Whether the row lies after the shift."""
    strata: Codes
    """Index into `names`; read for rows of history only."""
    names: tuple[tuple[str, str], ...]
    """Class and slice of each stratum."""
    entities: Codes
    """Index into `entity_names`; -1 for a row that is its own entity."""
    entity_names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenMasks:
    """Which rows are trained on and which are evaluated, and the record of the choice."""

    train: Mask
    evaluated: Mask
    selection: RowSelection


def choose_columns(rows: RowColumns, rules: RowRules, *, duplicates: int = 0) -> ChosenMasks:
    """Choose the rows of a retrain; `duplicates` were dropped before and are recorded."""
    kept, capped_entities = _capped(rows, rules)
    taken, history = _mixed(rows, kept, rules)
    named = rows.entities >= 0
    held = _held_entities(rows, rules)
    by_entity = _enough_entities(rows, taken, held, named, rules)
    train, evaluated = _split(rows, taken, held, rules, named=named & by_entity)
    selection = RowSelection(
        rows=len(rows.hashes) + duplicates,
        duplicates=duplicates,
        capped_rows=int((~kept).sum()),
        capped_entities=capped_entities,
        after_shift=int((taken & rows.after_shift).sum()),
        history=history,
        train=int(train.sum()),
        evaluated=int(evaluated.sum()),
        too_old=int((taken & ~train & ~evaluated).sum()),
        by_entity=by_entity,
        digest=digest_of(
            *(rows.hashes[side].astype("<u8").tobytes() for side in (train, evaluated))
        ),
    )
    return ChosenMasks(train=train, evaluated=evaluated, selection=selection)


def _capped(rows: RowColumns, rules: RowRules) -> tuple[Mask, int]:
    named = rows.entities >= 0
    counts = np.bincount(rows.entities[named], minlength=len(rows.entity_names))
    most = largest_count(counts[counts > 0].tolist(), rules.entity_share)
    kept = np.ones(len(rows.hashes), np.bool_)
    kept[named] = _ranks(rows.entities[named]) < most
    return kept, int((counts > most).sum())


def _mixed(rows: RowColumns, kept: Mask, rules: RowRules) -> tuple[Mask, tuple[ClassCount, ...]]:
    after = int((kept & rows.after_shift).sum())
    if not after:
        return kept, ()
    share = min(max(rules.after_shift_share, 0.01), 1.0)
    old = np.flatnonzero(kept & ~rows.after_shift)
    strata = rows.strata[old]
    counts = np.bincount(strata, minlength=len(rows.names)).tolist()
    available = Counter({rows.names[code]: count for code, count in enumerate(counts) if count})
    by_stratum = balanced_strata(available, round(after * (1.0 - share) / share))
    limits = np.array([by_stratum.get(name, 0) for name in rows.names], np.int64)
    taken = kept & rows.after_shift
    if len(old):
        taken[old] = _ranks(strata) < limits[strata]
    return taken, class_counts(available, by_stratum)


def _held_entities(rows: RowColumns, rules: RowRules) -> Mask:
    """[entities]: which are held back."""
    limit = held_back_below(rules)
    return np.array([number_of(name, size=8) < limit for name in rows.entity_names], np.bool_)


def _enough_entities(
    rows: RowColumns, taken: Mask, held: Mask, named: Mask, rules: RowRules
) -> bool:
    present = np.bincount(rows.entities[taken & named], minlength=len(held)) > 0
    alone = taken & ~named & (rows.hashes < held_back_below(rules))
    return int((held & present).sum()) + int(alone.sum()) >= rules.min_entities


def _split(
    rows: RowColumns, taken: Mask, held: Mask, rules: RowRules, *, named: Mask
) -> tuple[Mask, Mask]:
    """`named`: the rows that are held back with their entity."""
    below: Any = rows.hashes < held_back_below(rules)
    if named.any():
        below[named] = held[rows.entities[named]]
    held_back = taken & below
    evaluated = held_back & ~named
    for part in (True, False):
        members = held_back & (rows.after_shift == part)
        times = np.sort(rows.times[members])
        if len(times):
            oldest = times[int(len(times) * (1.0 - rules.newest_share))]
            evaluated |= members & (rows.times >= oldest)
    return taken & ~below, evaluated


def _ranks(codes: Codes) -> Codes:
    """How many earlier entries have the same code.

    >>> _ranks(np.array([3, 1, 3, 3, 1])).tolist()
    [0, 0, 1, 2, 1]
    """
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(codes) else order
    lengths = np.diff(np.r_[starts, len(codes)])
    ranks = np.empty(len(codes), np.int64)
    ranks[order] = np.arange(len(codes)) - np.repeat(starts, lengths)
    return ranks
