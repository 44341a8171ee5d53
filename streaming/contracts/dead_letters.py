"""Makes the dead letter of a message: bounded, whatever the message holds."""

from __future__ import annotations

from streaming.contracts.ids import record_id
from streaming.contracts.model import ModelContract
from streaming.contracts.raw_record import Headers, RawRecord
from streaming.contracts.records import DeadLetter, MessageHeader

MAX_UNUSABLE_BYTES = 2048
"""Bytes of an unusable message that are kept."""
MAX_PAYLOAD_BYTES = 1024 * 1024
"""Bytes of any message that are kept: in base64 they stay well below the longest record that the
broker takes (`codec.LARGEST_RECORD_BYTES`)."""
MAX_KEY_BYTES = 1024
"""Bytes of a message's key that are kept."""
MAX_HEADERS_BYTES = 8 * 1024
"""Bytes of a message's headers that are kept, names and values together."""


def dead_letter(
    contract: ModelContract,
    source: tuple[str, int, int],
    record: RawRecord,
    *,
    at: float,
    reason: str,
    detail: str,
    field: str = "",
    max_bytes: int = MAX_UNUSABLE_BYTES,
) -> DeadLetter:
    """The dead letter of the message at a topic, partition and offset.

    Parameters
    ----------
    record:
        The message; its value is None for a tombstone.
    at:
        The message's timestamp, seconds since 1970.
    max_bytes:
        Longest payload that is kept, at most `MAX_PAYLOAD_BYTES`.

    Examples
    --------
    >>> contract = ModelContract(model="m", module="", events_topic="e", labels_topic="l", key="id",
    ...     time="at")
    >>> from streaming.contracts.raw_record import KafkaRecord
    >>> record = KafkaRecord(value=b"{" * 3000, key=b"a", headers=(("trace", b"1"),))
    >>> dead = dead_letter(contract, ("e", 0, 7), record, at=1.0, reason="not_json",
    ...     detail="The record is not JSON.")
    >>> dead.offset, len(dead.payload), dead.payload_bytes, dead.key
    (7, 2048, 3000, b'a')
    """
    topic, partition, offset = source
    payload, key = record.value or b"", record.key
    headers = kept_headers(record.headers)
    return DeadLetter(
        record_id=record_id("dead-letter", contract.model, topic, partition, offset),
        model=contract.model,
        at=at,
        topic=topic,
        partition=partition,
        offset=offset,
        reason=reason,
        detail=detail,
        field=field,
        payload=payload[: min(max_bytes, MAX_PAYLOAD_BYTES)],
        payload_bytes=len(payload),
        key=None if key is None else key[:MAX_KEY_BYTES],
        key_bytes=len(key or b""),
        headers=headers,
        headers_dropped=len(record.headers) - len(headers),
    )


def kept_headers(headers: Headers) -> tuple[MessageHeader, ...]:
    """The first headers that fit into `MAX_HEADERS_BYTES`.

    >>> [header.name for header in kept_headers((("a", b"1"), ("b", b"2" * 9000), ("c", None)))]
    ['a']
    """
    kept, length = [], 0
    for name, value in headers:
        length += len(name.encode()) + len(value or b"")
        if length > MAX_HEADERS_BYTES:
            break
        kept.append(MessageHeader(name=name, value=value))
    return tuple(kept)
