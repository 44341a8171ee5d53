"""The guess as people read it: one table of all columns, what was decided, and what to know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from deploy.project.csv_guess import DataGuess
from deploy.project.guess import DEFAULT_KEY, ProjectGuess
from deploy.project.settings_text import MAX_ROWS, MIN_ROWS, RARE_ROWS, training_rows
from deploy.views.output import table

MANY_FEATURES = 100
FEATURE_SECONDS = 0.2
"""Measured with `driftline model check` on tables of 17 and of 200 columns."""


def guess_table(data: DataGuess) -> Table:
    """One row for each column of the data: what it becomes, and why."""
    guess = data.guess
    shown = table(f"{data.source}: {guess.rows} rows", "column", "becomes", "missing", "why")
    missing = {profile.name: f"{profile.missing_share:.0%}" for profile in data.profiles}
    for row in _rows(guess):
        shown.add_row(row["column"], row["becomes"], missing.get(row["column"], ""), row["why"])
    return shown


def decided(data: DataGuess) -> Iterator[str]:
    """Sentences on what the columns alone do not say."""
    guess = data.guess
    label = guess.label
    yield f"Task: {label.task} ({label.task_reason})."
    if guess.sampled < guess.rows:
        yield (
            f"The guess rests on {guess.sampled} rows, taken evenly over the file; "
            "the first training sees the newest events."
        )
    if guess.rows < MIN_ROWS:
        yield (
            f"{guess.rows} rows are few. A training waits for {MIN_ROWS}, so a replay repeats "
            "the file, and the same rows train and evaluate: figures of quality are too good then."
        )
    if len(guess.features) > MANY_FEATURES:
        yield (
            f"{len(guess.features)} features are many: each adds some {FEATURE_SECONDS} s of "
            "processor time to a training. Keep the columns that matter in the file."
        )
    rare = label.rarest * training_rows(guess)
    if round(rare) < RARE_ROWS:
        yield (
            f"Of {training_rows(guess)} rows, that a training waits for, some {rare:.0f} are of "
            "the rarest class: too few to evaluate. Raise retrain.min_labelled_rows, or take a "
            "file with a larger share of it."
        )
    elif training_rows(guess) > MAX_ROWS:
        yield (
            f"The rarest class is {label.rarest:.2%} of the rows, so a training waits for "
            f"{training_rows(guess)} rows."
        )
    if guess.key.startswith(DEFAULT_KEY):
        yield f"Events need a key: field {guess.key} ({guess.key_reason})."
    if guess.time_form is None:
        yield f"Events need a time: field {guess.time}, seconds since 1970 ({guess.time_reason})."
    yield from data.notes


def guess_data(data: DataGuess) -> dict[str, Any]:
    """The guess as JSON."""
    guess = data.guess
    return {
        "source": data.source,
        "rows": guess.rows,
        "sampled": guess.sampled,
        "task": guess.label.task,
        "task_reason": guess.label.task_reason,
        "classes": list(guess.label.classes),
        "label": guess.label.name,
        "key": guess.key,
        "time": guess.time,
        "columns": _rows(guess),
        "notes": list(data.notes),
    }


def _rows(guess: ProjectGuess) -> list[dict[str, str]]:
    label = guess.label
    rows = [_row(label.name, "label", f"{label.reason}; {label.balance}")]
    if not guess.key.startswith(DEFAULT_KEY):
        rows.append(_row(guess.key, "key", guess.key_reason))
    if guess.time_form is not None:
        rows.append(_row(guess.time, "event time", guess.time_reason))
    for feature in guess.features:
        kind = f"{feature.kind}, by value" if feature.categorical else feature.kind
        rows.append(_row(feature.name, f"feature: {kind}", feature.reason))
    rows += [_row(column.name, "not used", column.reason) for column in guess.unused]
    return rows


def _row(column: str, becomes: str, why: str) -> dict[str, str]:
    return {"column": column, "becomes": becomes, "why": why}
