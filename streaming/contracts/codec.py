"""Encodes records as JSON bytes and decodes them: strict, versioned, with clear refusals.

A reader refuses unknown kinds, unknown fields, wrong types and any format version but
`FORMAT_VERSION`; it never guesses. Bytes fields travel as base64.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from streaming.contracts.errors import DecodeError
from streaming.contracts.ids import digest, record_id
from streaming.contracts.old_records import without_pivots
from streaming.contracts.records import FORMAT_VERSION, AnyRecord, Record

_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord)

R = TypeVar("R", bound=Record)

LARGEST_RECORD_BYTES = 4 * 1024 * 1024


def encode(record: Record) -> bytes:
    """The record as JSON; equal records give equal bytes."""
    return _ENCODER.encode(record)


def with_text_id(record: R, kind: str, *key: object) -> R:
    """The record with an id of its own text and of `key`: another text has another id."""
    text = digest(msgspec.json.encode(record))
    new_id = record_id(kind, record.model, *key, text)
    return msgspec.structs.replace(record, record_id=new_id)


def decode(data: bytes) -> AnyRecord:
    """The record in `data`.

    Raises
    ------
    DecodeError
        When the bytes are too long, not JSON, of an unknown kind or format version, or have a wrong
        field.
    """
    if len(data) > LARGEST_RECORD_BYTES:
        raise DecodeError(
            f"The record has {len(data)} bytes; at most {LARGEST_RECORD_BYTES} are read.",
            reason="oversize",
        )
    try:
        try:
            record = _DECODER.decode(data)
        except msgspec.ValidationError:
            if b'"pivot"' not in data:
                raise
            record = _DECODER.decode(without_pivots(data))
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise DecodeError(
            f"These bytes are not a record of format version {FORMAT_VERSION}: {error}."
        ) from error
    if record.format_version != FORMAT_VERSION:
        raise DecodeError(
            f"The record has format version {record.format_version}; this release reads version "
            f"{FORMAT_VERSION}.",
            reason="format_version",
        )
    return record


def decode_as(data: bytes, kind: type[R]) -> R:
    """The record in `data`, which must be of type `kind`.

    Raises
    ------
    DecodeError
        As for `decode`, and when it is a record of another kind.
    """
    record = decode(data)
    if not isinstance(record, kind):
        raise DecodeError(f"Expected a {kind.__name__}, found a {type(record).__name__}.")
    return record


def record_in(data: bytes | None) -> AnyRecord | None:
    """The record in `data`; None when it cannot be decoded.

    This is for code that only displays or searches records: the topic's own reader counts and
    reports what it cannot decode.

    >>> record_in(None) is record_in(b"{}") is None
    True
    """
    if data is None:
        return None
    try:
        return decode(data)
    except DecodeError:
        return None
