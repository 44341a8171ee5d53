"""Reads the document in a record's value, whatever the topic's format."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from streaming.contracts import json_text
from streaming.contracts.avro import WRONG_SCHEMA, AvroDecoder, InvalidSchema, avro_decoder
from streaming.contracts.cloudevents import cloudevent
from streaming.contracts.errors import ConfigurationError, DecodeError
from streaming.contracts.mapping import REGISTERED, Format, RecordMapping
from streaming.contracts.protobuf import ProtobufDecoder, protobuf_decoder
from streaming.contracts.raw_record import RawRecord
from streaming.contracts.registered import RegisteredSchema, SchemaSource, SchemaType
from streaming.contracts.values import kind_of
from streaming.contracts.wire_format import REFUSED, split

EMPTY, OVERSIZE, NOT_AN_OBJECT = "empty", "oversize", "not_an_object"
_TYPES: dict[Format, SchemaType] = {"avro": "AVRO", "protobuf": "PROTOBUF", "json-schema": "JSON"}


def read_document(
    record: RawRecord, largest: int, mapping: RecordMapping, schemas: SchemaSource | None
) -> dict[str, Any]:
    """The document of a record.

    Parameters
    ----------
    largest:
        Longest value that is read, in bytes.
    schemas:
        The schemas of the registry, for formats that need them.

    Raises
    ------
    DecodeError
        When the value holds no document.
    TemporaryError
        When the record's schema cannot be had from the registry now.
    """
    check_size(record.value, largest, binary=mapping.format in REGISTERED)
    data = record.value or b""
    if mapping.format == "json":
        return json_object(data)
    if mapping.format == "cloudevents":
        return cloudevent(record)
    schema_id, payload = split(data)
    decoder = decoder_of(schema_id, mapping, schemas)
    return json_object(payload) if decoder is None else decoder.document(payload)


def decoder_of(
    schema_id: int, mapping: RecordMapping, schemas: SchemaSource | None
) -> AvroDecoder | ProtobufDecoder | None:
    """The decoder of a schema's payloads; None for JSON Schema, whose payloads are JSON.

    Raises
    ------
    DecodeError
        When the schema is refused, or of another kind than the topic's format.
    TemporaryError
        When it cannot be had from the registry now.
    """
    if schema_id in mapping.refused_schemas:
        raise DecodeError(f"Schema {schema_id} is one of refused_schemas.", reason=REFUSED)
    if schemas is None:
        raise ConfigurationError(
            f"Records in the format {mapping.format} need a schema registry; set registry.url."
        )
    schema = schemas.schema(schema_id)
    if schema.schema_type != _TYPES[mapping.format]:
        raise DecodeError(
            f"Schema {schema_id} is one of {schema.schema_type}; the topic has {mapping.format}.",
            reason=WRONG_SCHEMA,
        )
    return compiled(schema)


@lru_cache(maxsize=1000)
def compiled(schema: RegisteredSchema) -> AvroDecoder | ProtobufDecoder | None:
    """The decoder of a schema; raises `InvalidSchema` for what is none."""
    if schema.schema_type == "AVRO":
        return avro_decoder(schema)
    if schema.schema_type == "PROTOBUF":
        return protobuf_decoder(schema)
    try:
        json_object(schema.text.encode())
    except (DecodeError, UnicodeEncodeError) as error:
        raise InvalidSchema(f"no JSON Schema: {error}") from error
    return None


def check_size(data: bytes | None, largest: int, *, binary: bool = False) -> None:
    """Raise `DecodeError` for a value that is empty or too long."""
    if not data or (not binary and not data.strip()):
        raise DecodeError("The record is empty.", reason=EMPTY)
    if len(data) > largest:
        raise DecodeError(
            f"The record has {len(data)} bytes; at most {largest} are read.", reason=OVERSIZE
        )


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`; raises `DecodeError`. `json_text` has the rule of what is JSON."""
    fields = json_text.parse_json(data)
    if not isinstance(fields, dict):
        raise DecodeError(
            f"The record is not a JSON object, but {kind_of(fields) or 'null'}.",
            reason=NOT_AN_OBJECT,
        )
    return fields
