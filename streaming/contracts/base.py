"""What every record begins with, and the parts that all of them share."""

from __future__ import annotations

import msgspec

FORMAT_VERSION = 1
"""Version of the records' form; a reader refuses any other."""


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value inside a record."""


class Record(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """The common head."""

    record_id: str
    model: str
    at: float
    """When it was made."""
    caused_by: tuple[str, ...] = ()
    format_version: int = FORMAT_VERSION


class OffsetRange(Value, frozen=True, kw_only=True):
    """Half-open range of one Kafka partition: start <= offset < stop."""

    topic: str
    partition: int
    start: int
    stop: int


class Artifact(Value, frozen=True, kw_only=True):
    """Where a big payload lies, and the SHA-256 of its bytes (of its manifest for a folder)."""

    uri: str
    digest: str
