"""Records as JSON bytes, and back: strict, versioned, and clear about what it refuses.

A reader refuses unknown kinds, unknown fields, wrong types and any other form than `FORMAT_VERSION`; it
never guesses. Bytes fields travel as base64.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from streaming.contracts.errors import DecodeError
from streaming.contracts.records import FORMAT_VERSION, AnyRecord, Record

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
    DecodeError
        When the bytes are too long, not JSON, of an unknown kind or form, or do not fit.
    """
    if len(data) > LARGEST_RECORD_BYTES:
        raise DecodeError(
            f"The record has {len(data)} bytes; at most {LARGEST_RECORD_BYTES} are read.",
            reason="oversize",
        )
    try:
        record = _DECODER.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise DecodeError(
            f"These bytes are no record of form {FORMAT_VERSION}: {error}."
        ) from error
    if record.format_version != FORMAT_VERSION:
        raise DecodeError(
            f"The record has format version {record.format_version}; this version reads format version {FORMAT_VERSION}.",
            reason="format_version",
        )
    return record


def decode_as(data: bytes, kind: type[R]) -> R:
    """The record in `data`, which must be of type `kind`.

    Raises
    ------
    DecodeError
        As `decode`, and when it is another kind of record.
    """
    record = decode(data)
    if not isinstance(record, kind):
        raise DecodeError(f"Expected a {kind.__name__}, found a {type(record).__name__}.")
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
    except DecodeError:
        return None
