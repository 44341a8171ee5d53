"""What the readers of control topics (promotions, schema versions) send to the keyed steps.

A record travels with the time at which the broker appended it, and each reader tells up to which
time it has read. Both depend on the log alone. A window is closed only when the control topics have
been read up to its start (`WindowProgress.bounded`), so it is judged by the same promotion and
schema version however often, and in whatever order, a job reads again after a crash.
"""

from __future__ import annotations

import msgspec


class ControlRecord(msgspec.Struct, frozen=True, array_like=True):
    """A promotion or a schema version as it was read."""

    appended_ms: int
    """When the broker appended it, milliseconds since 1970."""
    record: bytes


class ControlProgress(msgspec.Struct, frozen=True, array_like=True):
    """Everything that was appended to a partition by then has been sent."""

    partition: str
    read_until_ms: int


_RECORD_TAG, _PROGRESS_TAG = b"C", b"P"
"""First bytes. Shard updates begin with another one, and records, which are JSON, with a brace."""
_ENCODER = msgspec.msgpack.Encoder()
_RECORD = msgspec.msgpack.Decoder(ControlRecord)
_PROGRESS = msgspec.msgpack.Decoder(ControlProgress)


def encode_control(message: ControlRecord | ControlProgress) -> bytes:
    """The bytes that travel to the keyed step, beside encoded updates."""
    tag = _RECORD_TAG if isinstance(message, ControlRecord) else _PROGRESS_TAG
    return tag + _ENCODER.encode(message)


def decode_control(data: bytes) -> ControlRecord | ControlProgress | None:
    """The message in `data`; None when it is something else.

    >>> decode_control(encode_control(ControlProgress("promotions/0", 5)))
    ControlProgress(partition='promotions/0', read_until_ms=5)
    >>> decode_control(b"{}") is None
    True
    """
    if data[:1] == _RECORD_TAG:
        return _RECORD.decode(memoryview(data)[1:])
    if data[:1] == _PROGRESS_TAG:
        return _PROGRESS.decode(memoryview(data)[1:])
    return None
