"""Decides which column is the label. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from deploy.project.column_rules import ColumnGuess, is_id_name
from deploy.project.label_tasks import (
    FIRST_NAMES,
    MAX_MISSING_LABELS,
    LabelGuess,
    NoLabel,
    TaskKind,
    as_label,
    label_name,
    truth_of,
)
from deploy.project.profile import ColumnProfile

MAX_MISSING = 0.2
"""Share of missing values above which only a column's name makes it the label."""
SHOWN_LABELS = 8
"""Columns that are named when none looks like a label."""

_NAME = re.compile(
    r"^(label|target|y|class|outcome|response|churn(ed)?|exited|attrition|fraud|is_fraud|default"
    r"(ed)?|survived|converted|conversion|clicked|bought|purchased|subscribed|approved|cancelled|"
    r"canceled|returned|fault(y)?|failure|failed|defect(ive)?|demand|sold|rentals|consumption|"
    r"queue|team|category|priority|species|quality|diagnosis|bewertung|deposit|kuendigung|"
    r"gekuendigt|storniert|rueckgabe|ziel|ergebnis|absatz|nachfrage|profit|pnl|gewinn|\w*klasse)$",
    re.IGNORECASE,
)
_AMOUNT_NAME = re.compile(
    r"^(sales|revenue|price|amount|count|cnt|load|quantity|score|rating|umsatz)$", re.IGNORECASE
)
"""Names of what is often predicted, and as often predicts something else."""
_VERB_NAME = re.compile(r"^(is|has|will|was|did)_\w+$|_(label|target|flag|class)$", re.IGNORECASE)


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
    chosen = choose_label(profiles, guesses, named)
    return chosen if isinstance(chosen, NoLabel) else as_label(chosen[0], task, chosen[1])


def choose_label(
    profiles: Sequence[ColumnProfile], guesses: Mapping[str, ColumnGuess], named: str | None
) -> tuple[ColumnProfile, str] | NoLabel:
    """The column of the label, and why it is."""
    if named is not None:
        return _called(profiles, named)
    scored = [
        (*_score(profile, guesses[profile.name], last=profile is profiles[-1]), profile)
        for profile in profiles
    ]
    score, reason, best = max(scored, key=lambda entry: (entry[0], not _is_amount(entry[2])))
    if score < 2:
        return NoLabel(
            f"No column looks like a label: {_called_like_one(profiles, guesses)}, and the last "
            f"one has not two values. Name it with --label COLUMN{_possible(profiles, guesses)}."
        )
    return best, reason


def _called_like_one(profiles: Sequence[ColumnProfile], guesses: Mapping[str, ColumnGuess]) -> str:
    """Which columns have the name of a label, and why they cannot be one."""
    named = [
        f"{profile.original} ({guesses[profile.name].reason}; {profile.missing_share:.0%} missing)"
        for profile in profiles
        if _has_name_of_label(profile)
    ]
    if not named:
        return "none is called like one"
    return f"{', '.join(named)} cannot be one though called so"


def _has_name_of_label(profile: ColumnProfile) -> bool:
    name = label_name(profile)
    return bool(_NAME.match(name) or _VERB_NAME.search(name)) or _is_amount(profile)


def _is_amount(profile: ColumnProfile) -> bool:
    return _AMOUNT_NAME.match(label_name(profile)) is not None


def _called(profiles: Sequence[ColumnProfile], named: str) -> tuple[ColumnProfile, str] | NoLabel:
    """The column of a name, as usable or as the file writes it."""
    called = [profile for profile in profiles if profile.name == named]
    stripped = named.strip()
    called = called or [profile for profile in profiles if profile.original.strip() == stripped]
    if len(called) == 1:
        return called[0], "you named it"
    if called:
        names = " or ".join(profile.name for profile in called)
        return NoLabel(f"{len(called)} columns are called {named!r}; name {names}.")
    known = ", ".join(profile.original for profile in profiles)
    return NoLabel(f"There is no column {named!r}; the columns are {known}.")


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
    named, truth = _has_name_of_label(profile), truth_of(profile)
    max_missing = MAX_MISSING_LABELS if named else MAX_MISSING
    usable = guess.use == "feature" or truth is not None
    if not usable or profile.missing_share > max_missing or is_id_name(profile.name):
        return 0, ""
    score, reasons = 0, []
    if named:
        weak = _is_amount(profile)
        score += 4 if FIRST_NAMES.match(label_name(profile)) else 2 if weak else 3
        reasons.append("its name")
    if profile.distinct == 2 or truth is not None:
        score += 1
        reasons.append("its two values")
    if last:
        score += 1
        reasons.append("it is the last column")
    return score, " and ".join(reasons)
