"""Joins the events and the labels of one bucket by key, by columns.

Of events that were delivered twice the first counts; of several labels the latest counts. Rows that
break the schema's rules are set aside and counted; so is an event whose latest label does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrain.engines.kafka.record_columns import KEY
from retrain.engines.kafka.row_buckets import HASH
from retrain.row_rules import ColumnRule, Violation
from streaming.contracts.model import FeatureSpec

Indices = NDArray[np.int64]


@dataclass(slots=True)
class RowCounts:
    """Counts of the rows of all buckets."""

    events: int = 0
    """Usable events that keep the rules, each once."""
    labelled: int = 0
    """Those with a usable label."""
    duplicates: int = 0
    """Usable events with the key of an earlier one."""
    unusable_labels: int = 0
    """Labels of such events that lack a value."""
    set_aside: Counter[Violation] = field(default_factory=Counter)
    """Events that break a rule."""
    bad_labels: Counter[Violation] = field(default_factory=Counter)
    """Events whose latest label breaks a rule."""


@dataclass(frozen=True, slots=True)
class JoinedRows:
    """Positions of the labelled rows of a bucket in the order of their key's hash."""

    events: Indices
    labels: Indices
    hashes: NDArray[np.uint64]


def join(
    events: pa.Table,
    labels: pa.Table,
    *,
    features: Sequence[FeatureSpec],
    label_columns: Sequence[FeatureSpec],
    rules: dict[str, ColumnRule],
    counts: RowCounts,
) -> JoinedRows:
    """The rows of one bucket that have a label; adds to `counts`."""
    kept = _kept_events(events, features, rules, counts)
    keys: Any = events[KEY].take(kept)
    matches: Any = pc.index_in(labels[KEY], value_set=keys.combine_chunks())
    at: Indices = pc.fill_null(matches, -1).to_numpy().astype(np.int64)
    known = np.flatnonzero(at >= 0)
    complete = np.ones(len(known), np.bool_)
    for spec in label_columns:
        complete &= np.asarray(labels[spec.name].is_valid())[known]
    counts.unusable_labels += int((~complete).sum())
    usable = known[complete]
    latest = np.full(len(kept), -1, np.int64)
    latest[at[usable]] = usable  # the last one that is assigned stays
    broken, named = broken_rules(labels, label_columns, rules)
    has_label = latest >= 0
    bad = has_label & (broken[latest] >= 0) if len(broken) else has_label
    counts.bad_labels.update(named[number] for number in broken[latest[bad]].tolist())
    good = has_label & ~bad
    counts.labelled += int(good.sum())
    rows, of_label = kept[good], latest[good]
    hashes = events[HASH].to_numpy()[rows]
    order = np.argsort(hashes, kind="stable")
    return JoinedRows(rows[order], of_label[order], hashes[order])


def _kept_events(
    events: pa.Table,
    features: Sequence[FeatureSpec],
    rules: dict[str, ColumnRule],
    counts: RowCounts,
) -> Indices:
    """Positions of the events that count."""
    keys: Any = events[KEY].combine_chunks()
    codes = keys.dictionary_encode().indices.to_numpy()
    first = np.sort(np.unique(codes, return_index=True)[1])
    counts.duplicates += len(codes) - len(first)
    broken, named = broken_rules(events, features, rules)
    aside = broken[first] >= 0
    counts.set_aside.update(named[number] for number in broken[first[aside]].tolist())
    kept: Indices = first[~aside].astype(np.int64)
    counts.events += len(kept)
    return kept


def broken_rules(
    table: pa.Table, specs: Sequence[FeatureSpec], rules: dict[str, ColumnRule]
) -> tuple[Indices, list[Violation]]:
    """For each row the number of the first rule that it breaks, or -1; and the rules' names.

    The rule is `retrain.row_rules.violation`'s.
    """
    broken = np.full(table.num_rows, -1, np.int64)
    named: list[Violation] = []

    def mark(rows: Any, violation: Violation) -> None:
        named.append(violation)
        broken[(broken < 0) & np.asarray(pc.fill_null(rows, False))] = len(named) - 1

    for rule in (rules[spec.name] for spec in specs if spec.name in rules):
        column: Any = table[rule.name]
        if rule.required:
            mark(pc.is_null(column), (rule.name, "FEATURE_TYPE_LOW_FRACTION_PRESENT"))
        if pa.types.is_string(column.type):
            continue
        if rule.low > float("-inf"):
            mark(pc.less(column, pa.scalar(rule.low)), (rule.name, rule.codes[0]))
        if rule.high < float("inf"):
            mark(pc.greater(column, pa.scalar(rule.high)), (rule.name, rule.codes[1]))
    return broken, named
