"""Puts the guesses of all columns together: label, task, key, time, features. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from deploy.project.column_rules import ColumnGuess, guess_column, is_id_name, is_time_name
from deploy.project.label_rules import guess_label
from deploy.project.label_tasks import MIN_ROWS, LabelGuess, NoLabel, TaskKind
from deploy.project.profile import ColumnProfile
from streaming.contracts.errors import ConfigurationError

DEFAULT_KEY = "event_id"
DEFAULT_TIME = "event_time"
CLOCK_TOLERANCE = 86_400.0
"""Seconds by which the times of a file may be ahead: a day, for times without a zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectGuess:
    """What was guessed of the data of a model."""

    rows: int
    """Rows of the data."""
    sampled: int
    """Rows that the guess rests on."""
    label: LabelGuess
    key: str
    """Field that identifies an event; `DEFAULT_KEY` where the data have none."""
    key_reason: str
    time: str
    """Field of the event time; `DEFAULT_TIME` where the data have none."""
    time_reason: str
    time_form: str | None
    """How the times are written; None where the data have none."""
    features: tuple[ColumnGuess, ...]
    unused: tuple[ColumnGuess, ...]
    """Columns that are neither feature, label, key nor time, with the reason."""


def guess_project(
    profiles: Sequence[ColumnProfile],
    rows: int,
    *,
    label: str | None = None,
    task: TaskKind | None = None,
    now: float = math.inf,
) -> ProjectGuess:
    """The guess for a model whose data have these columns.

    A column with times that lie after `now` is not the time of the event.

    Raises
    ------
    ConfigurationError
        With every reason why no model can be made of the data.
    """
    guesses = {profile.name: guess_column(profile) for profile in profiles}
    problems: list[str] = []
    if rows < MIN_ROWS:
        problems.append(f"The data have {rows} rows; at least {MIN_ROWS} are needed. Take more.")
    if not rows:
        raise ConfigurationError(" ".join(problems))
    chosen = guess_label(profiles, guesses, named=label, task=task)
    if isinstance(chosen, NoLabel):
        if not (rows < MIN_ROWS and str(MIN_ROWS) in chosen.reason):
            problems.append(chosen.reason)
        raise ConfigurationError(" ".join(problems))
    others = {
        name: _not_the_label(guess, chosen.name)
        for name, guess in guesses.items()
        if name != chosen.name
    }
    features = tuple(guess for guess in others.values() if guess.use == "feature")
    if not features:
        reasons = "; ".join(f"{guess.original}: {guess.reason}" for guess in others.values())
        problems.append(f"No column can be a feature ({reasons}).")
    if problems:
        raise ConfigurationError(" ".join(problems))
    key, key_reason = _key(others)
    time = _time(others, now)
    used = {key, time.name if time else "", *(guess.name for guess in features)}
    return ProjectGuess(
        rows=rows,
        sampled=min((profile.rows for profile in profiles), default=0),
        label=chosen,
        key=key,
        key_reason=key_reason,
        time=time.name if time else _free_name(DEFAULT_TIME, guesses),
        time_reason=time.reason if time else "no column holds a time; events carry their own",
        time_form=time.time_form if time else None,
        features=features,
        unused=tuple(_unused(guess) for guess in others.values() if guess.name not in used),
    )


def _not_the_label(guess: ColumnGuess, label: str) -> ColumnGuess:
    """The guess; a column that is called like the prepared label cannot be used."""
    if guess.name != f"{label}_label":
        return guess
    return replace(guess, use="none", reason="has the name of the label in training")


def _key(guesses: Mapping[str, ColumnGuess]) -> tuple[str, str]:
    """The column of the key: the first id that is called like one, else the first one."""
    ids = [guess for guess in guesses.values() if guess.use == "id"]
    if not ids:
        return _free_name(DEFAULT_KEY, guesses), "no column identifies rows; rows are numbered"
    chosen = max(ids, key=lambda guess: is_id_name(guess.name))
    return chosen.name, chosen.reason


def _time(guesses: Mapping[str, ColumnGuess], now: float) -> ColumnGuess | None:
    """The column of the event time: one that ascends or is called so; None when there is none."""
    times = [
        guess
        for guess in guesses.values()
        if guess.use == "time"
        and (guess.ascending or is_time_name(guess.name))
        and guess.latest <= now + CLOCK_TOLERANCE
    ]
    return max(times, key=lambda guess: is_time_name(guess.name) + guess.ascending, default=None)


def _free_name(name: str, taken: Mapping[str, ColumnGuess]) -> str:
    number = 2
    free = name
    while free in taken:
        free = f"{name}_{number}"
        number += 1
    return free


def _unused(guess: ColumnGuess) -> ColumnGuess:
    """A second id or time is no feature; the reason is added."""
    more = {
        "id": "; another column is the key",
        "time": "; not the time of the event. Derive a feature, such as an age in days, from it",
    }
    return replace(guess, reason=guess.reason + more.get(guess.use, ""))
