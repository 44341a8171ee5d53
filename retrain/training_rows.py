"""Chooses the rows of a retrain and the rows held back for its evaluation. Pure.

A row that was delivered twice counts once. No entity (a customer, a producer) has more than its
share of the rows, so one that floods the stream does not become the model. Rows after a shift are
mixed with history that is balanced by class and, within a class, by slice, so that what still holds
is kept. The rows held back are those of other entities than the ones trained on, and the newest of
them, as the next requests will be; where too few entities would be held back for an interval, they
are single rows. What was taken and what was left out is a record, and the same
rows give the same choice, in whatever order they come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from streaming.contracts.ids import digest, number_of
from streaming.contracts.records import ClassCount, RowRules, RowSelection

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
    slice: str = ""
    """Its value of the fields by which the model is evaluated; empty without such fields."""


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
    by_entity = _enough_entities(taken, rules)
    train, evaluated = _split(taken, rules, by_entity=by_entity)
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
        by_entity=by_entity,
        digest=digest_of(_hashes(train_keys), _hashes(eval_keys)),
    )
    return ChosenRows(train=train_keys, evaluated=eval_keys, selection=selection)


def digest_of(train: bytes, evaluated: bytes) -> str:
    """The digest of a choice, from the hashes of the chosen keys, 8 bytes each, in their order."""
    return digest(b"|".join((train, evaluated)))


def _hashes(keys: Iterable[str]) -> bytes:
    return b"".join(number_of(key, size=8).to_bytes(8, "little") for key in keys)


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
    available = Counter((row.label, row.slice) for row in rows if not row.after_shift)
    by_stratum = balanced_strata(available, round(after * (1.0 - share) / share))
    seen: Counter[tuple[str, str]] = Counter()
    taken = []
    for row in rows:
        if not row.after_shift:
            stratum = (row.label, row.slice)
            seen[stratum] += 1
            if seen[stratum] > by_stratum[stratum]:
                continue
        taken.append(row)
    return taken, class_counts(available, by_stratum)


def balanced_strata(
    available: Mapping[tuple[str, str], int], wanted: int
) -> dict[tuple[str, str], int]:
    """Equally many rows of each class, and within a class of each slice, as far as there are any.

    >>> balanced_strata({("0", "cash"): 900, ("0", "card"): 50, ("1", "card"): 500}, 400)
    {('0', 'card'): 50, ('0', 'cash'): 150, ('1', 'card'): 200}
    """
    of_class: Counter[str] = Counter()
    for (label, _), count in available.items():
        of_class[label] += count
    taken: dict[tuple[str, str], int] = {}
    by_class = balanced(of_class, wanted)
    for label in sorted(by_class):
        slices = {part: count for (name, part), count in available.items() if name == label}
        for part, count in balanced(slices, by_class[label]).items():
            taken[label, part] = count
    return taken


def class_counts(
    available: Mapping[tuple[str, str], int], taken: Mapping[tuple[str, str], int]
) -> tuple[ClassCount, ...]:
    """The counts of each class over its slices."""
    strata: dict[str, list[tuple[str, str]]] = {}
    for stratum in available:
        strata.setdefault(stratum[0], []).append(stratum)
    return tuple(
        ClassCount(
            label=label,
            available=sum(available[stratum] for stratum in of_class),
            taken=sum(taken[stratum] for stratum in of_class),
            slices=len(of_class),
        )
        for label, of_class in sorted(strata.items())
    )


def held_back_below(rules: RowRules) -> float:
    """The hash below which an entity, or a row without one, is held back."""
    return rules.eval_share * _SIZE


def _enough_entities(rows: Sequence[RowFacts], rules: RowRules) -> bool:
    """Whether enough entities are held back; a row without one is an entity of its own."""
    limit = held_back_below(rules)
    names = [*{row.entity for row in rows if row.entity}]
    names += [row.key for row in rows if not row.entity]
    return sum(number_of(name, size=8) < limit for name in names) >= rules.min_entities


def _split(
    rows: Sequence[RowFacts], rules: RowRules, *, by_entity: bool
) -> tuple[list[RowFacts], list[RowFacts]]:
    limit = held_back_below(rules)
    held_back: list[RowFacts] = []
    train: list[RowFacts] = []
    for row in rows:
        name = row.entity if by_entity and row.entity else row.key
        (held_back if number_of(name, size=8) < limit else train).append(row)
    evaluated = []
    for part in (True, False):
        members = [row for row in held_back if row.after_shift == part]
        times = sorted(row.time for row in members)
        oldest = times[int(len(times) * (1.0 - rules.newest_share))] if times else 0.0
        evaluated += [
            row for row in members if not (by_entity and row.entity) or row.time >= oldest
        ]
    return train, sorted(evaluated, key=lambda row: number_of(row.key, size=8))
