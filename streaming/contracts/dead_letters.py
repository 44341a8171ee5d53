"""Makes the dead letter of a message: bounded, whatever the message holds."""

from __future__ import annotations

from streaming.contracts.ids import record_id
from streaming.contracts.model import ModelContract
from streaming.contracts.records import DeadLetter

MAX_UNUSABLE_BYTES = 2048
"""Bytes of an unusable message that are kept."""
MAX_PAYLOAD_BYTES = 1024 * 1024
"""Bytes of any message that are kept: in base64 they stay well below the longest record that the
broker takes (`codec.LARGEST_RECORD_BYTES`)."""


def dead_letter(
    contract: ModelContract,
    source: tuple[str, int, int],
    value: bytes | None,
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
    value:
        The message's value; None for a tombstone.
    at:
        The message's timestamp, seconds since 1970.
    max_bytes:
        Longest payload that is kept, at most `MAX_PAYLOAD_BYTES`.

    Examples
    --------
    >>> contract = ModelContract(model="m", module="", events_topic="e", labels_topic="l", key="id",
    ...     time="at")
    >>> record = dead_letter(contract, ("e", 0, 7), b"{" * 3000, at=1.0, reason="not_json",
    ...     detail="The record is not JSON.")
    >>> record.offset, len(record.payload), record.payload_bytes
    (7, 2048, 3000)
    """
    topic, partition, offset = source
    payload = value or b""
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
    )
