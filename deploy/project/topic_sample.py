"""Reads the newest records of a topic as documents, in the format that they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streaming.contracts.cloudevents import cloudevent
from streaming.contracts.documents import read_document
from streaming.contracts.errors import ConfigurationError, DecodeError, NotFoundError
from streaming.contracts.log import Message, RecordLog
from streaming.contracts.mapping import Format, RecordMapping
from streaming.contracts.model import ModelContract
from streaming.contracts.raw_record import header
from streaming.contracts.registered import SchemaSource, SchemaType
from streaming.contracts.wire_format import HEADER_BYTES

NEWEST = 20_000
"""Records of a topic that are read, the newest of each partition."""
LARGEST = ModelContract(
    model="", module="", events_topic="", labels_topic="", key="", time=""
).largest_event_bytes
_MOST = 0.5
"""Share of the records that must have a format."""
_FORMATS: dict[SchemaType, Format] = {
    "AVRO": "avro",
    "PROTOBUF": "protobuf",
    "JSON": "json-schema",
}


@dataclass(slots=True, kw_only=True)
class Sample:
    """The newest records of a topic."""

    topic: str
    format: Format = "json"
    reason: str = ""
    """How the format was recognised, as a sentence."""
    messages: list[Message] = field(default_factory=list)
    """Records that hold a document."""
    documents: list[dict[str, Any]] = field(default_factory=list)
    """The document of each."""
    unusable: int = 0
    """Records that hold none."""


def read_newest(
    log: RecordLog, topic: str, schemas: SchemaSource | None = None, limit: int = NEWEST
) -> Sample:
    """The newest records of a topic, partition by partition in the order of their offsets.

    Raises
    ------
    NotFoundError
        When the topic has no messages, or does not exist.
    ConfigurationError
        When no record holds a document, or the records need a registry and there is none.
    TemporaryError
        When the registry does not give a schema.
    """
    spans = [span for span in log.spans(topic) if span.stop > span.start]
    if not spans:
        raise NotFoundError(f"The topic {topic} has no messages; name one that has.")
    share = -(-limit // len(spans))
    messages = [
        message
        for span in spans
        for message in log.read(
            msgspec.structs.replace(span, start=max(span.start, span.stop - share))
        )
    ]
    named, reason = format_of(messages, topic, schemas)
    sample = Sample(topic=topic, format=named, reason=reason)
    mapping = RecordMapping(format=named)
    example = ""
    for message in messages:
        try:
            document = read_document(message, LARGEST, mapping, schemas)
        except DecodeError as error:
            sample.unusable, example = sample.unusable + 1, str(error)
            continue
        sample.messages.append(message)
        sample.documents.append(document)
    if not sample.documents:
        raise ConfigurationError(
            f"None of {sample.unusable} messages of {topic} can be read as {named} ({example})"
        )
    return sample


def format_of(
    messages: Sequence[Message], topic: str, schemas: SchemaSource | None
) -> tuple[Format, str]:
    """The format that most records have, and how it was recognised."""
    values = [message.value for message in messages if message.value]
    least = _MOST * max(1, len(values))
    numbers = Counter(
        int.from_bytes(value[1:HEADER_BYTES], "big")
        for value in values
        if value[0] == 0 and len(value) > HEADER_BYTES
    )
    if numbers.total() > least:
        number = numbers.most_common(1)[0][0]
        if schemas is None:
            raise ConfigurationError(
                f"The records of {topic} name schemas of a registry (most: number {number}); give "
                "its address: --registry http://HOST:PORT."
            )
        kind = schemas.schema(number).schema_type
        return _FORMATS[kind], f"the records name schema {number} of the registry, one of {kind}"
    if sum(map(_is_cloudevent, messages)) > least:
        modes = {header(message, "ce_specversion") is not None for message in messages}
        words = " and ".join("binary" if mode else "structured" for mode in sorted(modes))
        return "cloudevents", f"the records are CloudEvents ({words} mode)"
    return "json", ""


def _is_cloudevent(message: Message) -> bool:
    try:
        return bool(message.value) and bool(cloudevent(message))
    except DecodeError:
        return False
