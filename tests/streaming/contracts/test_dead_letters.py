"""A dead letter always fits the topic that it is written to."""

from __future__ import annotations

import pytest

from streaming.contracts.codec import LARGEST_RECORD_BYTES, decode, encode
from streaming.contracts.dead_letters import MAX_KEY_BYTES, MAX_PAYLOAD_BYTES, dead_letter
from streaming.contracts.events import decode_event
from streaming.contracts.model import ModelContract
from streaming.contracts.raw_record import KafkaRecord
from streaming.contracts.records import MessageHeader
from streaming.windowing.event_reader import EventReader, Fetch

CONTRACT = ModelContract(
    model="m", module="", events_topic="e", labels_topic="l", key="id", time="at",
    largest_event_bytes=64_000_000, window_seconds=5.0,
)  # fmt: skip


@pytest.mark.parametrize("value", [b"\x00" * 9_000_000, b"\xff" * 3_000_000, b"x", b"", None])
def test_the_payload_is_cut_to_what_the_broker_takes(value: bytes | None) -> None:
    letter = dead_letter(
        CONTRACT,
        ("e", 0, 1),
        KafkaRecord(value=value, key=b"k" * 9_000_000, headers=(("h", b"v" * 5_000),) * 1000),
        at=1.0,
        reason="late",
        detail="d",
        max_bytes=64_000_000,
    )
    assert len(encode(letter)) < LARGEST_RECORD_BYTES / 2
    assert decode(encode(letter)) == letter
    assert letter.payload_bytes == len(value or b"")
    assert letter.payload == (value or b"")[:MAX_PAYLOAD_BYTES]
    assert letter.key == b"k" * MAX_KEY_BYTES
    assert (letter.key_bytes, len(letter.headers), letter.headers_dropped) == (9_000_000, 1, 999)


def test_a_late_event_of_many_megabytes_is_cut_too() -> None:
    value = b'{"id":"a","at":100.0,"note":"' + b"x" * 5_000_000 + b'"}'
    assert decode_event(value, CONTRACT, now=200.0).key == "a"
    fetch = Fetch(
        partition=0,
        offsets=[7],
        values=[value],
        timestamp=lambda _: 150.0,
        key=lambda _: b"k",
        headers=lambda _: (("trace", b"1"),),
    )
    (letter,) = EventReader(CONTRACT).late_in(fetch, [105_000], now=200.0)
    assert (letter.reason, letter.field, letter.payload_bytes) == ("late", "at", len(value))
    assert (letter.key, letter.headers) == (b"k", (MessageHeader(name="trace", value=b"1"),))
    assert len(encode(letter)) < LARGEST_RECORD_BYTES / 2
