"""Reads the probabilities of classes from a prediction message.

An application writes what the server answered: a list with one probability for each class, in the
order of the task. Where there are many classes it may write an object instead, with the
probabilities of the most likely ones; the others then share equally what is left to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from streaming.contracts.values import kind_of
from streaming.grid import Floats
from streaming.quality.tasks.strategy import number_of, out_of_range, wrong_type

TOLERANCE = 0.01
"""Probabilities may add up to this much less or more than 1: servers answer in float32 or less."""


def read_probabilities(value: list[Any] | dict[str, Any], numbers: Mapping[str, int]) -> Floats:
    """The probability of each class, [classes], adding up to 1.

    Parameters
    ----------
    value:
        The message's ``prediction``.
    numbers:
        Number of each class by its name.

    Raises
    ------
    DecodeError
        For a value that is no number between 0 and 1, another number of values than classes, an
        unknown class, or a sum that is not 1.

    >>> read_probabilities({"b": 0.75}, {"a": 0, "b": 1, "c": 2}).tolist()
    [0.125, 0.75, 0.125]
    """
    probabilities = (
        _of_object(value, numbers) if isinstance(value, dict) else _of_list(value, len(numbers))
    )
    total = float(probabilities.sum())
    if abs(total - 1.0) > TOLERANCE:
        raise out_of_range(f"holds probabilities that add up to {total:.4g}, not to 1")
    return probabilities / total


def _of_list(values: list[Any], classes: int) -> Floats:
    if len(values) != classes:
        raise out_of_range(f"holds {len(values)} probabilities; the task has {classes} classes")
    return np.array([_probability(value) for value in values])


def _of_object(values: Mapping[str, Any], numbers: Mapping[str, int]) -> Floats:
    unknown = next((name for name in values if name not in numbers), None)
    if unknown is not None:
        raise out_of_range("names a class that the task does not have")
    if not values:
        raise out_of_range("names no class")
    probabilities = np.zeros(len(numbers))
    for name, value in values.items():
        probabilities[numbers[name]] = _probability(value)
    others = [number for name, number in numbers.items() if name not in values]
    left = 1.0 - float(probabilities.sum())
    if others and left > 0.0:
        probabilities[others] = left / len(others)
    return probabilities


def _probability(value: Any) -> float:
    number = number_of(value)
    if number is None:
        raise wrong_type(value, "probabilities", kind_of(value))
    if not 0.0 <= number <= 1.0:
        raise out_of_range("must hold probabilities between 0 and 1")
    return number
