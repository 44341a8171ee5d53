"""How the records of a topic become a key, a time and named fields.

The default is a flat JSON object with the event time in seconds since 1970, where each field has
the name that the contract uses. Everything else is written in `driftline.yaml` and read in
`streaming.contracts.mapper`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Format = Literal["json", "cloudevents", "avro", "protobuf", "json-schema"]
KeyFrom = Literal["field", "kafka-key", "header"]
FieldTimeFormat = Literal["s", "ms", "us", "ns", "rfc3339"]
TimeFormat = Literal["s", "ms", "us", "ns", "rfc3339", "broker"]
Rule = Literal["value", "boolean", "decimal", "length", "hour", "weekday", "categories"]

REGISTERED: frozenset[Format] = frozenset({"avro", "protobuf", "json-schema"})
"""Formats whose records name a schema of the registry."""
Path = tuple[str, ...]


class FieldRule(msgspec.Struct, frozen=True, kw_only=True):
    """Where the value of a feature is in a record, and how it is read."""

    name: str
    """Name of the feature."""
    path: str
    """Names from the outermost object to the value, with dots between them."""
    rule: Rule = "value"
    """value: as it is. boolean: true as 1, false as 0, and as words where the feature is text.
    decimal: a number written as text. length: the number of elements of a list. hour, weekday: of
    a time; Monday is 0. categories: the values of a list, see `streaming.contracts.listed`."""
    time_format: FieldTimeFormat = "rfc3339"
    """How the time is written, for the rules hour and weekday."""
    zone: str = "UTC"
    """Time zone of the hour and the weekday, for example America/Chicago."""


class RecordMapping(msgspec.Struct, frozen=True, kw_only=True):
    """How the records of one topic are read."""

    format: Format = "json"
    """Encoding of the records' values."""
    key: str = ""
    """Path or header of the key; empty: the contract's `key`."""
    key_from: KeyFrom = "field"
    """Whether the key is a field, the record's key in Kafka, or a header."""
    time: str = ""
    """Path of the event time; empty: the contract's `time`."""
    time_format: TimeFormat | Literal["none"] = "s"
    """Unit of the event time since 1970, RFC 3339 text, the time that Kafka stored with the record,
    or none for labels, which arrive when they arrive."""
    fields: tuple[FieldRule, ...] = ()
    """Features that are read by path or by a rule; the others are fields of the outermost object
    with the feature's name."""
    refused_schemas: tuple[int, ...] = ()
    """Schema ids whose records are dead letters, whatever the registry says."""


def parts(path: str) -> Path:
    r"""The names of a path; a backslash before a dot keeps it in the name.

    >>> parts("trip.fare.amount"), parts(r"trip\.fare.amount")
    (('trip', 'fare', 'amount'), ('trip.fare', 'amount'))
    """
    return tuple(part.replace("\0", ".") for part in path.replace("\\.", "\0").split("."))


def is_flat(mapping: RecordMapping, *, key: str, time: str) -> bool:
    """Whether records are flat JSON objects with times in seconds, which need no mapping.

    Parameters
    ----------
    key, time:
        Those of the contract, for a mapping that has none.

    Examples
    --------
    >>> is_flat(RecordMapping(), key="id", time="at")
    True
    >>> is_flat(RecordMapping(time_format="ms"), key="id", time="at")
    False
    """
    named = mapping.key in ("", key) and mapping.time in ("", time)
    read = key if mapping.time_format == "none" else key + time
    return (
        named
        and mapping.format == "json"
        and mapping.key_from == "field"
        and mapping.time_format in ("s", "none")
        and not mapping.fields
        and "." not in read
    )
