"""Decodes served predictions and labels from the applications' messages.

A whole fetch is decoded at a time. One bad record never rejects another, and each rejection has one
of the reason codes of `contracts.events.Reason`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from streaming.contracts.errors import DecodeError
from streaming.contracts.events import Reason
from streaming.contracts.log import Message
from streaming.contracts.model import ModelContract
from streaming.quality.counts import score_buckets
from streaming.quality.join import LabelRow, PredictionRow

OutcomeOf = Callable[[Mapping[str, Any]], bool | None]
"""Reads the outcome from the fields of a label record; returns None when there is none."""

VERSION, PREDICTION = "version", "prediction"


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedMessage:
    """A message that cannot be used, with the reason."""

    message: Message
    reason: str
    detail: str


def read_predictions(
    messages: Sequence[Message], contract: ModelContract, *, now: float
) -> tuple[list[PredictionRow], list[RejectedMessage]]:
    """The predictions of a fetch, and the messages that could not be read.

    A prediction is a JSON object with the contract's key and time, the integer ``version`` that
    answered, and the number ``prediction`` between 0 and 1. Other fields are ignored.
    """
    readable: list[tuple[str, float, int]] = []
    scores: list[float] = []
    rejected = []
    for message in messages:
        try:
            fields = _object(message.value, contract)
            key = _key(fields, contract)
            time = _time(fields, contract, now)
            version, score = fields.get(VERSION), fields.get(PREDICTION)
            if version is None or score is None:
                missing = VERSION if version is None else PREDICTION
                raise _error(Reason.MISSING_FIELD, f"Field {missing} is missing.")
            if not isinstance(version, int) or isinstance(version, bool) or version < 1:
                raise _error(Reason.WRONG_TYPE, f"Field {VERSION} holds no version number.")
            if not isinstance(score, int | float) or isinstance(score, bool):
                raise _error(Reason.WRONG_TYPE, f"Field {PREDICTION} holds no number.")
            if not 0.0 <= score <= 1.0:
                raise _error(Reason.OUT_OF_RANGE, f"Field {PREDICTION} must lie between 0 and 1.")
        except DecodeError as error:
            rejected.append(
                RejectedMessage(message=message, reason=error.reason, detail=str(error))
            )
            continue
        readable.append((key, time, version))
        scores.append(score)
    buckets = score_buckets(scores).tolist()
    rows = [(*row, bucket) for row, bucket in zip(readable, buckets, strict=True)]
    return rows, rejected


def read_labels(
    messages: Sequence[Message], contract: ModelContract, outcome_of: OutcomeOf
) -> tuple[list[LabelRow], list[RejectedMessage]]:
    """The labels of a fetch, and the messages that could not be read."""
    rows: list[LabelRow] = []
    rejected = []
    for message in messages:
        try:
            fields = _object(message.value, contract)
            key = _key(fields, contract)
            outcome = outcome_of(fields)
            if outcome is None:
                raise _error(Reason.MISSING_FIELD, "The label holds no outcome.")
        except DecodeError as error:
            rejected.append(
                RejectedMessage(message=message, reason=error.reason, detail=str(error))
            )
            continue
        rows.append((key, outcome, message.time))
    return rows, rejected


def _object(data: bytes | None, contract: ModelContract) -> dict[str, Any]:
    if not data or not data.strip():
        raise _error(Reason.EMPTY, "The record is empty.")
    if len(data) > contract.largest_event_bytes:
        raise _error(Reason.OVERSIZE, f"The record has {len(data)} bytes.")
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _error(Reason.NOT_JSON, f"The record is not JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise _error(Reason.NOT_AN_OBJECT, "The record is no JSON object.")
    return fields


def _key(fields: dict[str, Any], contract: ModelContract) -> str:
    key = fields.get(contract.key)
    if not isinstance(key, str | int) or isinstance(key, bool) or key == "":
        raise _error(Reason.MISSING_FIELD, f"Field {contract.key} is missing.")
    return str(key)


def _time(fields: dict[str, Any], contract: ModelContract, now: float) -> float:
    time = fields.get(contract.time)
    if isinstance(time, bool) or not isinstance(time, int | float) or not math.isfinite(time):
        raise _error(Reason.NO_TIME, f"Field {contract.time} holds no time.")
    if time > now + contract.future_seconds:
        raise _error(Reason.FUTURE_TIME, f"Field {contract.time} lies in the future.")
    return float(time)


def _error(reason: Reason, detail: str) -> DecodeError:
    return DecodeError(detail, reason=reason.value)
