"""Decides which column is the label and what kind of task it makes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from deploy.project.column_rules import ColumnGuess, is_id_name
from deploy.project.profile import ColumnProfile
from deploy.project.text_cells import NumberForm, truth_pair

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
MAX_MISSING_LABELS = 0.5
SHOWN_LABELS = 8
"""Columns that are named when none looks like a label."""

_NAME = re.compile(
    r"^(label|target|y|class|outcome|response|churn(ed)?|exited|attrition|fraud|is_fraud|default"
    r"(ed)?|survived|converted|conversion|clicked|bought|purchased|subscribed|approved|cancelled|"
    r"canceled|returned|demand|sales|sold|revenue|price|amount|count|cnt|rentals|consumption|load|"
    r"quantity|queue|team|category|priority|species|quality|diagnosis|score|deposit|kuendigung|"
    r"gekuendigt|ziel|ergebnis|absatz|umsatz|nachfrage|profit|gewinn|\w*klasse)$",
    re.IGNORECASE,
)
_FIRST_NAMES = re.compile(r"^(label|target|y|class|outcome|ziel)$", re.IGNORECASE)
_VERB_NAME = re.compile(r"^(is|has|will|was|did)_\w+$|_(label|target|flag|class)$", re.IGNORECASE)
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


@dataclass(frozen=True, slots=True)
class NoLabel:
    """Why there is no label, or none that can be used."""

    reason: str


def guess_label(
    profiles: Sequence[ColumnProfile],
    guesses: Mapping[str, ColumnGuess],
    *,
    named: str | None = None,
    task: TaskKind | None = None,
) -> LabelGuess | NoLabel:
    """The label: the named column, or the one that most looks like one.

    Parameters
    ----------
    profiles:
        The columns in the file's order.
    guesses:
        What each could be used for.
    named:
        The column that the user names, by its original or its usable name.
    task:
        The task that the user names.
    """
    if named is not None:
        chosen = next((p for p in profiles if named in (p.original, p.name)), None)
        if chosen is None:
            known = ", ".join(profile.original for profile in profiles)
            return NoLabel(f"There is no column {named!r}; the columns are {known}.")
        return _as_label(chosen, task, "you named it")
    scored = [
        (*_score(profile, guesses[profile.name], last=profile is profiles[-1]), profile)
        for profile in profiles
    ]
    score, reason, best = max(scored, key=lambda entry: entry[0])
    if score < 2:
        return NoLabel(
            "No column looks like a label: none is called like one, and the last one has not two "
            f"values. Name it with --label COLUMN{_possible(profiles, guesses)}."
        )
    return _as_label(best, task, reason)


def _possible(profiles: Sequence[ColumnProfile], guesses: Mapping[str, ColumnGuess]) -> str:
    """The columns that can be a label, the last of the file first."""
    usable = [
        repr(profile.original)
        for profile in reversed(profiles)
        if guesses[profile.name].use == "feature" and profile.missing_share <= MAX_MISSING_LABELS
    ]
    return f", for example one of {', '.join(usable[:SHOWN_LABELS])}" if usable else ""


def _score(profile: ColumnProfile, guess: ColumnGuess, *, last: bool) -> tuple[int, str]:
    """How much a column looks like a label, and why."""
    if guess.use != "feature" or profile.missing_share > 0.2 or is_id_name(profile.name):
        return 0, ""
    score, reasons = 0, []
    if _NAME.match(profile.name) or _VERB_NAME.search(profile.name):
        score += 4 if _FIRST_NAMES.match(profile.name) else 3
        reasons.append("its name")
    if profile.distinct == 2:
        score += 1
        reasons.append("its two values")
    if last:
        score += 1
        reasons.append("it is the last column")
    return score, " and ".join(reasons)


def _as_label(profile: ColumnProfile, task: TaskKind | None, reason: str) -> LabelGuess | NoLabel:
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
    decided = task or _task_of(profile)
    make = {"binary": _binary, "multiclass": _multiclass, "regression": _regression}[decided]
    return make(profile, reason, "you named it" if task else "")


def _task_of(profile: ColumnProfile) -> TaskKind:
    if profile.distinct == 2:
        return "binary"
    if profile.number_form is None or profile.leading_zeros:
        return "multiclass"
    few = profile.whole and profile.distinct <= MAX_INTEGER_CLASSES
    return "multiclass" if few and _CLASS_NAME.search(profile.name) else "regression"


def _binary(profile: ColumnProfile, reason: str, task_reason: str) -> LabelGuess | NoLabel:
    if profile.distinct != 2:
        return NoLabel(
            f"{profile.original} has {profile.distinct} values; a binary task needs two. "
            "Name another task with --task."
        )
    truth = truth_pair(frozenset(profile.values))
    if truth is None and set(profile.values) == {"0", "1"}:
        truth = ("1", "0")
    positive, other = _positive_first(profile, truth)
    few = min(profile.values.values())
    if few < MIN_CLASS_ROWS:
        return _rare(profile, min(profile.values, key=lambda value: profile.values[value]), few)
    return LabelGuess(
        name=profile.name,
        task="binary",
        classes=() if truth else (positive, other),
        truth=truth,
        reason=reason,
        task_reason=task_reason or "two values",
        balance=", ".join(f"{value}: {_share(profile, value):.1%}" for value in (positive, other)),
    )


def _positive_first(profile: ColumnProfile, truth: tuple[str, str] | None) -> tuple[str, str]:
    """The value that is predicted, and the other: by its meaning, else the rarer one."""
    values = sorted(profile.values, key=lambda value: (profile.values[value], value))
    if truth is not None:
        return max(values, key=lambda value: value.lower() == truth[0]), min(
            values, key=lambda value: value.lower() == truth[0]
        )
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
    )


def _regression(profile: ColumnProfile, reason: str, task_reason: str) -> LabelGuess | NoLabel:
    if profile.number_form is None:
        return NoLabel(
            f"{profile.original} holds {profile.examples()}, …: a regression needs numbers. Name "
            "another label, or another task with --task."
        )
    counts = profile.whole and profile.low >= 0
    return LabelGuess(
        name=profile.name,
        task="regression",
        number_form=profile.number_form,
        counts=counts,
        reason=reason,
        task_reason=task_reason
        or ("whole numbers, none below zero: a count" if counts else "numbers with decimals"),
        balance=f"{profile.low:g} to {profile.high:g}",
    )


def _share(profile: ColumnProfile, value: str) -> float:
    return profile.values[value] / profile.present


def _rare(profile: ColumnProfile, value: str, rows: int) -> NoLabel:
    return NoLabel(
        f"{profile.original} is {value!r} in {rows} row(s) only; each class needs at least "
        f"{MIN_CLASS_ROWS}. Take more rows, or join rare classes."
    )
