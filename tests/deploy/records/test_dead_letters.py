"""Dead letters: the newest are found from the end, and originals return to their topics."""

from __future__ import annotations

import json

import pytest

from deploy.records import dead_letters
from streaming.contracts.errors import NotFoundError
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import DeadLetter
from tests.deploy.records.test_reader import CountingLog


def letter(
    number: int, *, reason: str = "bad-type", payload: bytes | None = None, cut: int = 0
) -> DeadLetter:
    content = json.dumps({"trip_id": f"t{number}"}).encode() if payload is None else payload
    return DeadLetter(
        record_id=f"letter-{number:05}",
        model="m",
        at=float(number),
        topic="events",
        partition=0,
        offset=number,
        reason=reason,
        detail="",
        payload=content,
        payload_bytes=len(content) + cut,
    )


def test_the_newest_are_read_from_the_end() -> None:
    log = CountingLog()
    log.append([letter(number) for number in range(10_000)])
    CountingLog.read_so_far = 0
    newest = dead_letters.newest_dead_letters(log, last=5)
    assert [entry.offset for entry in newest] == list(range(9_995, 10_000))
    assert CountingLog.read_so_far <= 16


def test_a_reason_and_a_model_select() -> None:
    log = MemoryLog()
    log.append([letter(1), letter(2, reason="unreadable"), letter(3)])
    chosen = dead_letters.newest_dead_letters(log, reason="unreadable")
    assert [entry.offset for entry in chosen] == [2]
    assert dead_letters.newest_dead_letters(log, model="another") == []


def test_a_dead_letter_is_found_by_position_or_id() -> None:
    log = MemoryLog()
    log.append([letter(1), letter(22)])
    assert dead_letters.find_dead_letter(log, "events/0@22").offset == 22
    assert dead_letters.find_dead_letter(log, "letter-00001").offset == 1
    for target in ("events/0@7", "nothing", "letter-"):
        with pytest.raises(NotFoundError, match="dead-letters list"):
            dead_letters.find_dead_letter(log, target)


def test_only_whole_originals_are_replayed_each_once() -> None:
    whole, skipped = dead_letters.replayable([letter(1), letter(2, cut=10), letter(1)])
    assert [entry.offset for entry in whole] == [1]
    assert ["cut off" in entry.reason for entry in skipped] == [True, False]


def test_originals_return_to_their_topic_with_the_models_key() -> None:
    log = MemoryLog()
    letters = [letter(1), letter(2, payload=b"\xff not json")]
    dead_letters.replay(log, letters, {"m": "trip_id"})
    (span,) = log.spans("events")
    sent = [(message.key, message.value) for message in log.read(span)]
    assert sent == [(b"t1", b'{"trip_id": "t1"}'), (None, b"\xff not json")]
