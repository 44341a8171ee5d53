"""Makes a label of a column: its task, its classes, or the reason why it can be none. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from deploy.project.column_rules import MAX_CATEGORY_LENGTH
from deploy.project.headers import SUFFIX
from deploy.project.number_cells import LARGEST, NumberForm
from deploy.project.profile import ColumnProfile
from deploy.project.text_cells import outcomes_of, to_truth, truth_pair

TaskKind = Literal["binary", "multiclass", "regression"]
TASKS: tuple[TaskKind, ...] = ("binary", "multiclass", "regression")

MAX_CLASSES = 50
"""A text label with more values is no class."""
MAX_INTEGER_CLASSES = 10
"""Whole numbers with more values are a number to predict."""
MIN_ROWS = 100
"""Labelled rows below which nothing can be learnt, nor a fifth be held back to evaluate."""
MIN_CLASS_ROWS = 5
"""Rows that each class needs in the data."""
MAX_COUNT = 1_000_000
"""Larger whole numbers are amounts."""
MAX_MISSING_LABELS = 0.5
FIRST_NAMES = re.compile(r"^(label|target|y|class|outcome|ziel)$", re.IGNORECASE)
"""Names of columns that are the label of most tables."""
_CLASS_NAME = re.compile(r"class|categor|type|group|grade|stage|team|species|priority", re.I)
_POSITIVE = frozenset(
    (
        *("1", "true", "yes", "y", "t", "ja", "oui", "si", "positive", "pos", "bad", "fraud"),
        *("churned", "default", "exited", "left", "cancelled", "canceled", "won", "converted"),
        *("failed", "spam"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelGuess:
    """The label and its task, and why."""

    name: str
    task: TaskKind
    classes: tuple[str, ...] = ()
    """Multiclass: the classes, the most frequent first. Binary with a text label: the class that is
    predicted, then the other."""
    truth: tuple[str, str] | None = None
    """Binary: spellings of true and false, which become 1 and 0."""
    number_form: NumberForm | None = None
    """How a number is written."""
    counts: bool = False
    """Regression: whether it counts something: whole numbers, none below zero."""
    reason: str
    task_reason: str
    balance: str
    """What its values are like."""
    rarest: float = 1.0
    """Share of the rarest class; 1 without classes."""


@dataclass(frozen=True, slots=True)
class NoLabel:
    """Why there is no label, or none that can be used."""

    reason: str


def as_label(profile: ColumnProfile, task: TaskKind | None, reason: str) -> LabelGuess | NoLabel:
    name = profile.original
    if profile.present < MIN_ROWS:
        return NoLabel(
            f"{profile.present} rows have a value of {name}; at least {MIN_ROWS} are needed to "
            "train a model and to evaluate it on rows held back."
        )
    if profile.distinct == 1:
        return NoLabel(
            f"{name} has one value ({profile.examples(1)}) in every row; nothing can be learnt from"
            " one class."
        )
    if profile.missing_share > MAX_MISSING_LABELS:
        return NoLabel(
            f"{profile.missing_share:.0%} of the rows have no value of {name}; take the rows that "
            "have one, or name another column with --label."
        )
    make = {"binary": _binary, "multiclass": _multiclass, "regression": _regression}
    return make[task or _task_of(profile)](profile, reason, "you named it" if task else "")


def label_name(profile: ColumnProfile) -> str:
    """The name by which a label is known, without what was added to a word of Python."""
    return profile.name.removesuffix(SUFFIX)


def label_notes(label: LabelGuess) -> tuple[str, ...]:
    """What the user should know of the classes."""
    plain = Counter(name.casefold() for name in label.classes)
    same = [name for name in label.classes if plain[name.casefold()] > 1]
    if not same:
        return ()
    return (
        f"Classes that differ in capitals only are different: {', '.join(same)}. Write them alike "
        "in the file when they mean the same.",
    )


def _task_of(profile: ColumnProfile) -> TaskKind:
    if profile.distinct == 2 or truth_of(profile) is not None:
        return "binary"
    if profile.number_form is None or profile.leading_zeros:
        return "multiclass"
    few = profile.whole and profile.distinct <= MAX_INTEGER_CLASSES
    numbered = profile.low in (0, 1) and profile.high - profile.low == profile.distinct - 1
    classes = _CLASS_NAME.search(profile.name) or (
        numbered and FIRST_NAMES.match(label_name(profile))
    )
    return "multiclass" if few and classes else "regression"


def truth_of(profile: ColumnProfile) -> tuple[str, str] | None:
    """The spellings of true and false, when a column has no other values but unknown ones."""
    numbers = (("1", "0"), ("1.0", "0.0"))
    outcomes = outcomes_of(profile.values)
    pair = next((pair for pair in numbers if outcomes == set(pair)), None)
    return pair or truth_pair(outcomes)


def _binary(profile: ColumnProfile, reason: str, task_reason: str) -> LabelGuess | NoLabel:
    truth = truth_of(profile)
    if profile.distinct != 2 and truth is None:
        return NoLabel(
            f"{profile.original} has {profile.distinct} values; a binary task needs two. "
            "Name another task with --task."
        )
    if truth is not None:
        positive, other = truth
        sides: Counter[int | None] = Counter()
        for value, rows in profile.values.items():
            sides[to_truth(value, truth)] += rows
        yes, no, unknown = sides[1], sides[0], sides[None]
    else:
        positive, other = _positive_first(profile)
        yes, no, unknown = profile.values[positive], profile.values[other], 0
    if min(yes, no) < MIN_CLASS_ROWS:
        return _rare(profile, positive if yes < no else other, min(yes, no))
    rows = yes + no
    left = f"; {unknown} rows with a word for unknown have no label" if unknown else ""
    return LabelGuess(
        name=profile.name,
        task="binary",
        classes=() if truth else (positive, other),
        truth=truth,
        reason=reason,
        task_reason=task_reason or "two values",
        balance=f"{positive}: {_percent(yes, rows)}, {other}: {_percent(no, rows)}{left}",
        rarest=min(yes, no) / rows,
    )


def _percent(part: int, rows: int) -> str:
    """A share with digits enough that a rare class is not 0 %.

    >>> _percent(1, 3), _percent(7, 100_000)
    ('33.3%', '0.007%')
    """
    share = part / rows
    return f"{share:.1%}" if share >= 0.001 else f"{100 * share:.1g}%"


def _positive_first(profile: ColumnProfile) -> tuple[str, str]:
    """The value that is predicted, and the other: by its meaning, else the rarer one."""
    values = sorted(profile.values, key=lambda value: (profile.values[value], value))
    known = [value for value in values if value.lower() in _POSITIVE]
    positive = known[0] if len(known) == 1 else values[0]
    return positive, next(value for value in values if value != positive)


def _multiclass(profile: ColumnProfile, reason: str, task_reason: str) -> LabelGuess | NoLabel:
    if profile.distinct < 3:
        return NoLabel(f"{profile.original} has two values; that is --task binary.")
    if profile.distinct > MAX_CLASSES:
        return NoLabel(
            f"{profile.original} has {profile.distinct} values ({profile.examples()}, …); at most "
            f"{MAX_CLASSES} classes can be told apart. Group them, or name another label."
        )
    classes = tuple(value for value, _ in profile.values.most_common())
    too_long = next((value for value in classes if len(value) > MAX_CATEGORY_LENGTH), None)
    if too_long is not None:
        return NoLabel(
            f"{profile.original} has a value of {len(too_long)} characters ({too_long[:20]}…); the "
            f"name of a class has at most {MAX_CATEGORY_LENGTH}. Shorten it, or name another label."
        )
    rarest = classes[-1]
    if profile.values[rarest] < MIN_CLASS_ROWS:
        return _rare(profile, rarest, profile.values[rarest])
    shown = ", ".join(f"{value}: {_share(profile, value):.0%}" for value in classes[:3])
    return LabelGuess(
        name=profile.name,
        task="multiclass",
        classes=classes,
        reason=reason,
        task_reason=task_reason or f"{len(classes)} classes",
        balance=shown + (", …" if len(classes) > 3 else ""),
        rarest=_share(profile, rarest),
    )


def _regression(profile: ColumnProfile, reason: str, task_reason: str) -> LabelGuess | NoLabel:
    if profile.number_form is None:
        return NoLabel(
            f"{profile.original} holds {profile.examples()}, …: a regression needs numbers. Name "
            "another label, or another task with --task."
        )
    if max(abs(profile.low), abs(profile.high)) > LARGEST:
        return NoLabel(
            f"{profile.original} has numbers up to {profile.high:g}; larger ones than {LARGEST:g} "
            "cannot be learnt. Predict the logarithm, or name another label."
        )
    counts = profile.whole and 0 <= profile.low <= profile.high <= MAX_COUNT and not profile.signs
    kind = "whole numbers" if profile.whole else "numbers with decimals"
    return LabelGuess(
        name=profile.name,
        task="regression",
        number_form=profile.number_form,
        counts=counts,
        reason=reason,
        task_reason=task_reason or ("whole numbers, none below zero: a count" if counts else kind),
        balance=profile.extremes(),
    )


def _share(profile: ColumnProfile, value: str) -> float:
    return profile.values[value] / profile.present


def _rare(profile: ColumnProfile, value: str, rows: int) -> NoLabel:
    return NoLabel(
        f"{profile.original} is {value!r} in {rows} row(s) only; each class needs at least "
        f"{MIN_CLASS_ROWS}. Take more rows, or join rare classes."
    )
