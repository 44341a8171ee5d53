"""Chooses the rows of a retrain and the rows held back for its evaluation. Pure.

A row that was delivered twice counts once. No entity (a customer, a producer) has more than its
share of the rows, so one that floods the stream does not become the model. Rows after a shift are
mixed with history that is balanced by class, so that what still holds is kept. The rows held back
are those of other entities than the ones trained on, and the newest of them, as the next requests
will be. What was taken and what was left out is a record, and the same rows give the same choice,
in whatever order they come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from streaming.contracts.ids import digest, number_of

_SIZE = 2.0**64


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFacts:
    """What the choice needs to know of a labelled row."""

    key: str
    """Key of the event."""
    time: float
    """Event time, seconds since 1970."""
    after_shift: bool
    """Whether it lies after the shift."""
    label: str = ""
    """Its class; empty for numbers."""
    entity: str = ""
    """The entity that it belongs to; empty when each row is its own."""


class RowRules(msgspec.Struct, frozen=True, kw_only=True):
    """How rows are chosen."""

    after_shift_share: float = 0.7
    """Share of the rows after the shift; the rest is history."""
    entity_share: float = 0.1
    """Largest share of one entity; at least twice what each would have if all had equally many."""
    eval_share: float = 0.2
    """Share of the entities that is held back."""
    newest_share: float = 0.5
    """The newest share of the rows of held-back entities is evaluated; older ones are left out.
    Without entities all of them are."""


class ClassCount(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of history of one class."""

    label: str
    available: int
    taken: int


class RowSelection(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken and what was left out."""

    rows: int
    """Rows that were offered, duplicates included."""
    duplicates: int
    """Rows with the key of an earlier one."""
    capped_rows: int
    """Rows left out because their entity had too many."""
    capped_entities: int
    """Entities that had too many."""
    after_shift: int
    """Rows after the shift that were taken."""
    history: tuple[ClassCount, ...]
    """Rows of history by class; without a shift empty, and all rows are taken."""
    train: int
    """Rows to train on."""
    evaluated: int
    """Rows held back for the evaluation."""
    too_old: int
    """Rows of held-back entities that are left out because newer ones are evaluated."""
    digest: str
    """Digest of the chosen keys of both sides; equal for an equal choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenRows:
    """Keys in the order in which they are written, and the record of the choice."""

    train: tuple[str, ...]
    evaluated: tuple[str, ...]
    selection: RowSelection


def choose_rows(rows: Iterable[RowFacts], rules: RowRules) -> ChosenRows:
    """Choose the rows of a retrain; the first row of a key counts, at its earliest time."""
    offered = sorted(rows, key=lambda row: (row.time, row.key))
    unique = list({row.key: row for row in reversed(offered)}.values())
    mixed = sorted(unique, key=lambda row: number_of(row.key, size=8))
    kept, capped_entities = _capped(mixed, rules)
    taken, history = _mixed(kept, rules)
    train, evaluated = _split(taken, rules)
    train_keys = tuple(row.key for row in train)
    eval_keys = tuple(row.key for row in evaluated)
    selection = RowSelection(
        rows=len(offered),
        duplicates=len(offered) - len(unique),
        capped_rows=len(unique) - len(kept),
        capped_entities=capped_entities,
        after_shift=sum(row.after_shift for row in taken),
        history=history,
        train=len(train),
        evaluated=len(evaluated),
        too_old=len(taken) - len(train) - len(evaluated),
        digest=digest("\n".join((*train_keys, "", *eval_keys)).encode()),
    )
    return ChosenRows(train=train_keys, evaluated=eval_keys, selection=selection)


def largest_count(counts: Sequence[int], share: float) -> int:
    """The number of rows of an entity at which none has more than `share` of those that remain.

    >>> largest_count([900, 50, 30, 20], 0.5)
    100
    >>> largest_count([10, 10], 0.1)
    10
    """
    share = max(share, 2.0 / max(len(counts), 1))
    most = max(counts, default=0)
    while share < 1.0:
        total = sum(min(count, most) for count in counts)
        allowed = max(1, int(share * total))
        if allowed >= most:
            break
        most = allowed
    return most


def balanced(available: Mapping[str, int], wanted: int) -> dict[str, int]:
    """Equally many rows of each class, as far as there are any; the rest comes from the others.

    >>> balanced({"a": 1_000, "b": 10, "c": 400}, 300)
    {'b': 10, 'c': 145, 'a': 145}
    """
    taken: dict[str, int] = {}
    left = min(wanted, sum(available.values()))
    by_size = sorted(available, key=lambda label: (available[label], label))
    for number, label in enumerate(by_size):
        taken[label] = min(available[label], left // (len(by_size) - number))
        left -= taken[label]
    return taken


def _capped(rows: Sequence[RowFacts], rules: RowRules) -> tuple[list[RowFacts], int]:
    counts = Counter(row.entity for row in rows if row.entity)
    most = largest_count(list(counts.values()), rules.entity_share)
    seen: Counter[str] = Counter()
    kept = []
    for row in rows:  # in the order of the keys' hashes, so time and class are not favoured
        seen[row.entity] += 1
        if not row.entity or seen[row.entity] <= most:
            kept.append(row)
    return kept, sum(count > most for count in counts.values())


def _mixed(
    rows: Sequence[RowFacts], rules: RowRules
) -> tuple[list[RowFacts], tuple[ClassCount, ...]]:
    after = sum(row.after_shift for row in rows)
    if not after:
        return list(rows), ()
    share = min(max(rules.after_shift_share, 0.01), 1.0)
    available = Counter(row.label for row in rows if not row.after_shift)
    by_class = balanced(available, round(after * (1.0 - share) / share))
    seen: Counter[str] = Counter()
    taken = []
    for row in rows:
        if not row.after_shift:
            seen[row.label] += 1
            if seen[row.label] > by_class[row.label]:
                continue
        taken.append(row)
    history = tuple(
        ClassCount(label=label, available=available[label], taken=by_class[label])
        for label in sorted(available)
    )
    return taken, history


def _split(rows: Sequence[RowFacts], rules: RowRules) -> tuple[list[RowFacts], list[RowFacts]]:
    limit = rules.eval_share * _SIZE
    held_back = [row for row in rows if number_of(row.entity or row.key, size=8) < limit]
    train = [row for row in rows if number_of(row.entity or row.key, size=8) >= limit]
    evaluated = []
    for part in (True, False):
        members = [row for row in held_back if row.after_shift == part]
        times = sorted(row.time for row in members)
        oldest = times[int(len(times) * (1.0 - rules.newest_share))] if times else 0.0
        evaluated += [row for row in members if not row.entity or row.time >= oldest]
    return train, sorted(evaluated, key=lambda row: number_of(row.key, size=8))
