"""How an event becomes one row of a prediction request, and an answer a prediction message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from streaming.contracts.errors import PermanentError
from streaming.contracts.model import MISSING, FeatureSpec
from streaming.contracts.task import BINARY, Kind, Task

OUTPUTS: Mapping[Kind, str] = {
    "binary": "probabilities",
    "multiclass": "probabilities",
    "regression": "predictions",
}
"""Name of the model's output with its prediction, by kind of task."""


def instance(features: tuple[FeatureSpec, ...], values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """One row of a prediction request in TF Serving's row format, with missing values filled in.

    Unknown fields of `values` are left out, because the server refuses names that the model lacks.
    Encode it with `json.dumps`: missing numbers are NaN, which TF Serving accepts.

    >>> spec = FeatureSpec(name="fare", kind="number"), FeatureSpec(name="company", kind="text")
    >>> instance(spec, {"fare": 12.5, "tips": 3})
    {'fare': [12.5], 'company': ['']}
    """
    row: dict[str, list[Any]] = {}
    for spec in features:
        value = values.get(spec.name)
        row[spec.name] = [MISSING[spec.kind] if value is None else value]
    return row


def answered(row: Any, task: Task = BINARY) -> float | list[float]:
    """The ``prediction`` of a prediction message, from one row of a server's answer.

    Parameters
    ----------
    row:
        One element of ``predictions`` in TF Serving's row format: the values of the only output, or
        an object with all outputs.
    task:
        What the model predicts. A probability or a number becomes a number, the probabilities of
        classes and the quantiles become a list.

    Raises
    ------
    PermanentError
        When the row has not the task's number of values.

    >>> answered({"probabilities": [0.25]}), answered([0.25]), answered(0.25)
    (0.25, 0.25, 0.25)
    >>> answered({"probabilities": [0.25, 0.75]}, Task(kind="multiclass", classes=("a", "b")))
    [0.25, 0.75]
    """
    width = len(task.classes) or len(task.quantiles) or 1
    value: Any = row.get(OUTPUTS[task.kind]) if isinstance(row, dict) else row
    numbers: list[Any] = value if isinstance(value, list) else [value]
    usable = all(isinstance(number, int | float) for number in numbers)
    if not usable or len(numbers) != width:
        raise PermanentError(
            f"The server's answer {str(row)[:100]} is no prediction of the task {task.kind}, which "
            f"has {width} {'number' if width == 1 else 'numbers'} in {OUTPUTS[task.kind]}."
        )
    return [float(number) for number in numbers] if width > 1 else float(numbers[0])


def answer_for_one_row(body: bytes, task: Task = BINARY) -> float | list[float]:
    """The ``prediction`` in the body of a server's answer to a request for one row.

    Raises
    ------
    PermanentError
        When the body holds anything else.

    >>> answer_for_one_row(b'{"predictions":[{"probabilities":[0.25]}]}')
    0.25
    >>> answer_for_one_row(b"[]")
    Traceback (most recent call last):
    streaming.contracts.errors.PermanentError: The answer [] is not that to a request for one row.
    """
    try:
        (row,) = orjson.loads(body)["predictions"]
    except (ValueError, TypeError, KeyError) as error:
        text = body[:100].decode(errors="replace")
        message = f"The answer {text} is not that to a request for one row."
        raise PermanentError(message) from error
    return answered(row, task)
