"""The base types of records, and the values that many records share."""

from __future__ import annotations

import msgspec

FORMAT_VERSION = 1
"""Version of the wire format; a reader refuses any other."""


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value inside a record."""


class Record(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """The fields that every record has."""

    record_id: str
    """Digest of kind, model and natural key, 24 hex digits; equal for a repeated record."""
    model: str
    """Name of the model that the record is about."""
    at: float
    """Time of creation, seconds since 1970."""
    caused_by: tuple[str, ...] = ()
    """Ids of the records that caused this one; empty when no record did."""
    format_version: int = FORMAT_VERSION
    """Version of the wire format; a reader refuses a record of any other version."""


class OffsetRange(Value, frozen=True, kw_only=True):
    """Half-open range of one Kafka partition: start <= offset < stop."""

    topic: str
    """Name of the Kafka topic."""
    partition: int
    """Number of the partition, from 0."""
    start: int
    """First offset of the range."""
    stop: int
    """Offset that follows the last one of the range."""


class Artifact(Value, frozen=True, kw_only=True):
    """Location of a big payload, and the SHA-256 of its bytes (for a folder, of its manifest)."""

    uri: str
    """URI of the file or folder."""
    digest: str
    """SHA-256 in hex: of the file's bytes, or of the folder's manifest."""
