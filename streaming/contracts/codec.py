"""Records as JSON bytes, and back: strict, versioned, and clear about what it refuses.

A reader refuses unknown kinds, unknown fields, wrong types and any other form than `FORM`; it
never guesses. Bytes fields travel as base64.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from streaming.contracts.errors import Unreadable
from streaming.contracts.records import FORM, AnyRecord, Record

_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord)

R = TypeVar("R", bound=Record)

LARGEST_RECORD_BYTES = 4 * 1024 * 1024


def encode(record: Record) -> bytes:
    """One record as JSON; equal records give equal bytes."""
    return _ENCODER.encode(record)


def decode(data: bytes) -> AnyRecord:
    """The record in `data`.

    Raises
    ------
    Unreadable
        When the bytes are too long, not JSON, of an unknown kind or form, or do not fit.
    """
    if len(data) > LARGEST_RECORD_BYTES:
        raise Unreadable(
            f"The record has {len(data)} bytes; at most {LARGEST_RECORD_BYTES} are read.",
            reason="oversize",
        )
    try:
        record = _DECODER.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise Unreadable(f"These bytes are no record of form {FORM}: {error}.") from error
    if record.form != FORM:
        raise Unreadable(
            f"The record has form {record.form}; this version reads form {FORM}.", reason="form"
        )
    return record


def decode_as(data: bytes, kind: type[R]) -> R:
    """The record in `data`, which must be of type `kind`.

    Raises
    ------
    Unreadable
        As `decode`, and when it is another kind of record.
    """
    record = decode(data)
    if not isinstance(record, kind):
        raise Unreadable(f"Expected a {kind.__name__}, found a {type(record).__name__}.")
    return record


def record_in(data: bytes | None) -> AnyRecord | None:
    """The record in `data`; None where none can be read. For those who only show or look up: the
    topic's own reader counts and reports what it cannot read.

    >>> record_in(None) is record_in(b"{}") is None
    True
    """
    if data is None:
        return None
    try:
        return decode(data)
    except Unreadable:
        return None
