"""Decodes served predictions and labels from the applications' messages.

A whole fetch is decoded at a time, by the rule for events (`contracts.events`). One bad record
never rejects another, and each rejection has one of the reason codes of `contracts.events.Reason`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streaming.contracts.errors import DecodeError
from streaming.contracts.events import (
    Reason,
    key_of,
    missing_field,
    read_fields,
    time_of,
    value_of,
)
from streaming.contracts.log import Message
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.prediction_slices import NO_SLICE, NO_SLICES, PredictionSlices
from streaming.contracts.registered import SchemaSource
from streaming.contracts.task import BINARY, Task
from streaming.contracts.values import is_missing, kind_of
from streaming.quality.join import LabelRow, PredictionRow
from streaming.quality.tasks import quality_of
from streaming.quality.tasks.strategy import PREDICTION

OutcomeOf = Callable[[Mapping[str, Any]], bool | str | float | None]
"""Reads the outcome from the fields of a label record: a boolean, or 1 or 0 (binary), the name of a
class (multiclass), or a number (regression). When there is none it returns None; whatever else it
returns or raises, the label is refused."""

VERSION = "version"
_VERSION = FeatureSpec(name=VERSION, kind="integer")
_INT64 = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedMessage:
    """A message that cannot be used, with the reason."""

    message: Message
    reason: str
    detail: str
    field: str = ""
    """The field that caused it; empty where no single field did."""


def read_predictions(
    messages: Sequence[Message],
    contract: ModelContract,
    task: Task = BINARY,
    *,
    now: float,
    schemas: SchemaSource | None = None,
    slices: PredictionSlices = NO_SLICES,
) -> tuple[list[PredictionRow], list[RejectedMessage]]:
    """The predictions of a fetch, and the messages that could not be read.

    A prediction is a JSON object with the contract's key and time, the integer ``version`` that
    answered, and its ``prediction``. Other fields are ignored. What ``prediction`` holds depends on
    the task: a number between 0 and 1 (binary), a list with the probability of each class, or an
    object with the probabilities of the most likely ones (multiclass), a number, or a list with one
    for each quantile (regression).
    """
    quality = quality_of(task)
    readable: list[tuple[str, float, int]] = []
    numbers: list[int] = []
    predictions: list[Any] = []
    rejected = []
    for message in messages:
        try:
            fields = read_fields(message, contract, contract.predictions, schemas)
            key, time = key_of(fields, contract), time_of(fields, contract, now)
            version = _version_of(fields)
            prediction = quality.prediction_of(fields.get(PREDICTION))
            number = slices.number_of(fields)
        except DecodeError as error:
            rejected.append(_rejected(message, error))
            continue
        readable.append((key, time, version))
        numbers.append(number)
        predictions.append(prediction)
    packed = quality.packed(predictions)
    rows: list[PredictionRow] = [
        (*row, entry) if number == NO_SLICE else (*row, entry, number)
        for row, entry, number in zip(readable, packed, numbers, strict=True)
    ]
    return rows, rejected


def _version_of(fields: Mapping[str, Any]) -> int:
    """The version that answered; raises `DecodeError`."""
    version = fields.get(VERSION)
    if type(version) is not int or not 0 < version < _INT64:
        value = value_of(fields, _VERSION)
        if value is None:
            raise missing_field(VERSION)
        version = int(value)
        if version < 1:
            raise _out_of_range(VERSION, "must be 1 or more")
    return version


def _out_of_range(name: str, rule: str) -> DecodeError:
    return DecodeError(f"Field {name} {rule}.", reason=Reason.OUT_OF_RANGE.value, field=name)


def _rejected(message: Message, error: DecodeError) -> RejectedMessage:
    return RejectedMessage(
        message=message, reason=error.reason, detail=str(error), field=error.field
    )


class _AskedFields(Mapping[str, Any]):
    """The fields of a label as its model reads them; missing values are None.

    It remembers which fields the model asked for, so that a label without an outcome can name the
    field that it lacks.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields
        self.asked: list[str] = []

    def __getitem__(self, name: str) -> Any:
        self.asked.append(name)
        value = self._fields.get(name)
        if name not in self._fields:
            raise KeyError(name)
        return None if is_missing(value) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def outcome(self, outcome_of: OutcomeOf, task: Task) -> float:
        """The label's outcome by the model's function, as a number; raises `DecodeError`.

        The function is the user's and the fields are the producer's: neither may stop the reader.
        """
        quality = quality_of(task)
        try:
            number = quality.outcome_of(outcome_of(self))
        except Exception as error:
            raise self._error(f"the model's function raised {type(error).__name__}") from error
        if number is None:
            raise self._error(quality.no_outcome)
        return number

    def _error(self, cause: str) -> DecodeError:
        """The error of the first field that is missing, or that holds no number."""
        for name in self.asked:
            if is_missing(self._fields.get(name)):
                return missing_field(name)
        kinds = {name: kind_of(self._fields.get(name)) for name in self.asked}
        odd = [name for name, kind in kinds.items() if kind not in ("integer", "number")]
        name = next(iter([*odd, *kinds]), "")
        kind = kinds.get(name, "")
        return DecodeError(
            f"Field {name} holds a {kind}; {cause}." if name else f"No field is read; {cause}.",
            reason=Reason.WRONG_TYPE.value,
            field=name,
            value_kind=kind,
        )


def read_labels(
    messages: Sequence[Message],
    contract: ModelContract,
    outcome_of: OutcomeOf,
    columns: Sequence[FeatureSpec] = (),
    task: Task = BINARY,
    *,
    now: float = math.inf,
    schemas: SchemaSource | None = None,
) -> tuple[list[LabelRow], list[RejectedMessage]]:
    """The labels of a fetch, and the messages that could not be read.

    Parameters
    ----------
    messages, contract:
        The messages of the labels' topic, and the model's contract.
    outcome_of:
        The model's function that reads the outcome.
    columns:
        Fields that every label must have, with their kinds; a retrain requires the same.
    task:
        What the model predicts.
    now:
        Seconds since 1970. A label arrived by then, whatever its producer stamped.
    schemas:
        The schemas of the registry, for formats that need them.
    """
    rows: list[LabelRow] = []
    rejected = []
    for message in messages:
        try:
            fields = read_fields(message, contract, contract.labels, schemas)
            key = key_of(fields, contract)
            for spec in columns:
                if value_of(fields, spec) is None:
                    raise missing_field(spec.name)
            outcome = _AskedFields(fields).outcome(outcome_of, task)
        except DecodeError as error:
            rejected.append(_rejected(message, error))
            continue
        rows.append((key, outcome, min(message.time, now)))
    return rows, rejected
