"""Runs a bulk prediction: chunk by chunk, resumable, inputs beside predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.bulk.parts import PartCounts, Parts
from deploy.bulk.rows import Chunk, Source, inputs_of
from streaming.contracts.errors import PermanentError
from streaming.contracts.model import FeatureSpec

PROBLEM = "problem"
"""Column that says why a row has no prediction."""

PREDICTED = "predicted_"
"""How the names of the predictions' columns begin, so that none is that of an input."""

Predict = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float64]]


def predict_all(
    source: Source,
    predict: Predict,
    parts: Parts,
    *,
    features: Sequence[FeatureSpec],
    columns: Sequence[str],
    classes: Sequence[str] = (),
    on_part: Callable[[PartCounts], None] = lambda counts: None,
) -> PartCounts:
    """Predict what `parts` lacks, and join them.

    Parameters
    ----------
    source:
        The rows.
    predict:
        Inputs → numbers, [rows, len(columns)].
    parts:
        Where the predictions go.
    features:
        The model's inputs.
    columns:
        Names of the predictions.
    classes:
        Names of the classes; the likeliest is written too.
    on_part:
        Called after each part with the counts so far.

    Raises
    ------
    PermanentError
        When no row could be predicted; the parts stay.
    """
    for number, chunk in enumerate(source(parts.count), parts.count):
        predicted = _columns(chunk, predict, features, columns, classes)
        first = next(iter(sorted(chunk.problems.items())), None)
        problem = f"row {parts.counts.rows + first[0] + 1}: {first[1]}" if first else ""
        counts = PartCounts(
            rows=chunk.rows, unusable=len(chunk.problems), first_problem=problem
        )  # fmt: skip
        parts.write(number, {**chunk.shown, **predicted}, counts)
        on_part(parts.counts)
    counts = parts.counts
    if counts.rows == counts.unusable:
        what = counts.first_problem or "there is no row"
        raise PermanentError(f"No row could be predicted: {what}.")
    parts.finish()
    return counts


def _columns(
    chunk: Chunk,
    predict: Predict,
    features: Sequence[FeatureSpec],
    columns: Sequence[str],
    classes: Sequence[str],
) -> dict[str, list[Any]]:
    """The predictions' columns; None in rows without one."""
    usable, inputs = inputs_of(chunk, features)
    numbers = predict(inputs) if len(usable) else np.zeros((0, len(columns)))
    if numbers.shape != (len(usable), len(columns)):
        raise PermanentError(
            f"The version answers {numbers.shape[-1]} numbers for a row; the task has"
            f" {len(columns)}. It was trained for another task."
        )
    answers: dict[str, list[Any]] = {}
    for at, name in enumerate(columns):
        column: list[Any] = [None] * chunk.rows
        for row, number in zip(usable.tolist(), numbers[:, at].tolist(), strict=True):
            column[row] = number
        answers[PREDICTED + name] = column
    if classes:
        likeliest: list[Any] = [None] * chunk.rows
        for row, best in zip(usable.tolist(), numbers.argmax(axis=1).tolist(), strict=True):
            likeliest[row] = classes[best]
        answers[f"{PREDICTED}class"] = likeliest
    answers[PROBLEM if PROBLEM not in chunk.shown else PREDICTED + PROBLEM] = [
        chunk.problems.get(row) for row in range(chunk.rows)
    ]
    return answers
