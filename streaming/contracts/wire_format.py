"""Confluent's wire format: a zero byte, the schema's number in four bytes, then the payload."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.contracts.errors import DecodeError, TemporaryError
from streaming.contracts.mapping import REGISTERED, RecordMapping
from streaming.contracts.registered import SchemaSource

WRONG_MAGIC, TRUNCATED, REFUSED = "wrong_magic", "truncated", "refused_schema"
HEADER_BYTES = 5
MAX_INDEXES = 32
"""Levels of nested messages that are followed."""


def split(data: bytes) -> tuple[int, bytes]:
    r"""The schema's number, and the payload; raises `DecodeError`.

    >>> split(b"\0\0\0\1\2abc")
    (258, b'abc')
    """
    if data[0] != 0:
        raise DecodeError(
            f"The record begins with the byte {data[0]}, not with 0 and the number of a schema.",
            reason=WRONG_MAGIC,
        )
    if len(data) < HEADER_BYTES:
        raise DecodeError(
            f"The record ends within the number of its schema, after {len(data)} bytes.",
            reason=TRUNCATED,
        )
    return int.from_bytes(data[1:HEADER_BYTES], "big"), data[HEADER_BYTES:]


def message_indexes(payload: bytes) -> tuple[tuple[int, ...], int]:
    r"""The place of a Protobuf message in its file, and where the message begins.

    The place is the number of the message, then of a message inside it, and so on.

    >>> message_indexes(b"\0rest"), message_indexes(b"\x04\x02\x00rest")
    (((0,), 1), ((1, 0), 3))
    """
    count, at = _number(payload, 0)
    if count == 0:
        return (0,), at
    if not 0 < count <= MAX_INDEXES:
        raise DecodeError(
            f"The record gives {count} message indexes; at most {MAX_INDEXES} are read.",
            reason=TRUNCATED,
        )
    indexes = []
    for _ in range(count):
        index, at = _number(payload, at)
        indexes.append(index)
    return tuple(indexes), at


def _number(payload: bytes, at: int) -> tuple[int, int]:
    """A zigzag varint of at most five bytes, and where it ends."""
    number = 0
    for shift in range(0, 35, 7):
        if at >= len(payload):
            break
        byte = payload[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
    raise DecodeError("The record ends within its message indexes.", reason=TRUNCATED)


def resolve(
    values: Sequence[bytes | None],
    mapping: RecordMapping,
    schemas: SchemaSource | None,
    largest: int,
) -> None:
    """Get every schema that these records name, so that reading them cannot stop half-way.

    Records of more than `largest` bytes are not read, whatever their schema.

    Raises
    ------
    TemporaryError
        When a schema cannot be had from the registry now.
    """
    if schemas is not None and mapping.format in REGISTERED:
        for number in sorted(_numbers(values, largest) - set(mapping.refused_schemas)):
            schemas.schema(number)


def resolvable(
    values: Sequence[bytes | None],
    mapping: RecordMapping,
    schemas: SchemaSource | None,
    largest: int,
) -> tuple[int, str]:
    """How many of the first records can be read now, and why the next one cannot."""
    try:
        resolve(values, mapping, schemas, largest)
    except TemporaryError:
        for count in range(len(values)):
            try:
                resolve(values[count : count + 1], mapping, schemas, largest)
            except TemporaryError as error:
                return count, str(error)
    return len(values), ""


def _numbers(values: Sequence[bytes | None], largest: int) -> set[int]:
    """The schema numbers that records name."""
    headers = {value[:HEADER_BYTES] for value in values if value and len(value) <= largest}
    return {
        int.from_bytes(head[1:], "big")
        for head in headers
        if len(head) == HEADER_BYTES and head[0] == 0
    }
