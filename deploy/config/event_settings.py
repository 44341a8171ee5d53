"""The settings of the topics that applications write to, below `models.NAME`: how their records are
read."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from deploy.config.types import Duration, Section
from streaming.contracts.mapping import (
    FieldTimeFormat,
    Format,
    KeyFrom,
    Rule,
    TimeFormat,
)
from streaming.contracts.model import ModelContract

_CONTRACT = ModelContract(model="", module="", events_topic="", labels_topic="", key="", time="")


class FieldSettings(Section):
    """Where a field of the model is in a record, and how it is read."""

    path: str
    """Names from the outermost object to the value, with dots between them; a backslash before a
    dot keeps it in the name. A text in place of the whole section is the path."""
    rule: Rule = "value"
    """value: as it is. boolean: true as 1 and false as 0, or as these words where the feature is
    text. decimal: a number written as text. length: the number of elements of a list. hour,
    weekday: of a time; Monday is 0. categories: the values of a list, for a feature that is
    `multivalent`."""
    time_format: FieldTimeFormat = "rfc3339"
    """For hour and weekday: how the time is written."""
    zone: str = "UTC"
    """For hour and weekday: the time zone, for example America/Chicago."""


def _with_path(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


FieldValue = Annotated[
    FieldSettings, BeforeValidator(_with_path, json_schema_input_type=FieldSettings | str)
]
SchemaId = Annotated[int, Field(ge=0, lt=2**31)]


class RecordSettings(Section):
    """A topic that the applications write to, and how its records are read."""

    topic: str
    """Name of the Kafka topic."""
    partitions: int = Field(default=_CONTRACT.partitions, ge=1)
    """Number of partitions with which the topic is created if it does not exist."""
    format: Format = "json"
    """Encoding of the values. cloudevents: CloudEvents 1.0 with JSON data, in binary or structured
    mode; attributes are fields named as the headers are, for example ce_id. avro, protobuf,
    json-schema: Confluent's wire format; needs `registry.url`."""
    fields: dict[str, FieldValue] = Field(default={})
    """Fields of the model that are read by path or by a rule, for example
    {fare: trip.fare.amount}. A field that is left out is one of the outermost object, with the same
    name."""
    refused_schemas: tuple[SchemaId, ...] = ()
    """Schema ids whose records become dead letters. A record whose schema the registry never has
    holds its partition up; this lets the partition go on."""


class TopicSettings(RecordSettings):
    """A topic whose records have a key of their own."""

    key: str
    """What identifies an event: a path, or the name of a header. Events and labels use the same
    one, unless one of them has it at another path, in a header or in Kafka's key."""
    key_from: KeyFrom = "field"
    """Where the key is: a field, the record's key in Kafka as text, or the header of that name."""


class EventSettings(TopicSettings):
    """The topic of the events."""

    time: str = "event_time"
    """Path of the event time."""
    time_format: TimeFormat = "s"
    """How it is written: in s, ms, us or ns since 1970, or as rfc3339 text with any offset. broker:
    the time that Kafka stored with the record."""


class LabelSettings(TopicSettings):
    """The topic of the labels."""

    mature_after: Duration = 0.0
    """Time after the event at which its label has usually arrived."""


class PredictionSettings(RecordSettings):
    """The topic to which the applications write the predictions they were served.

    Each message has the key, the time, the ``version`` that answered and its ``prediction``: a
    probability, a list with the probability of each class (or an object with those of the likely
    ones), a number, or a list of quantiles.
    """

    key: str | None = None
    """Path or header of the key. null: as in `events`."""
    key_from: KeyFrom | None = None
    """Where the key is. null: as in `events`."""
    time: str | None = None
    """Path of the time of the event. null: as in `events`."""
    time_format: TimeFormat | None = None
    """How the time is written. null: as in `events`."""
