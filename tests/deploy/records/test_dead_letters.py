"""Dead letters: the newest are found from the end, and originals return to their topics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from deploy.records import dead_letters
from streaming.contracts.errors import NotFoundError, UnavailableError
from streaming.contracts.log import MemoryLog
from streaming.contracts.raw_record import Headers
from streaming.contracts.records import DeadLetter, MessageHeader
from streaming.contracts.topics import applications_topic
from tests.deploy.records.test_reader import CountingLog


class RefusingLog(MemoryLog):
    """A log that refuses messages to one topic."""

    def append_raw(
        self,
        topic: str,
        messages: Sequence[tuple[bytes | None, bytes]],
        headers: Sequence[Headers] = (),
    ) -> None:
        if topic == "labels":
            raise UnavailableError("Kafka did not accept 1 messages.")
        super().append_raw(topic, messages, headers)


def log_with(*topics: str) -> MemoryLog:
    log = MemoryLog()
    log.ensure([applications_topic(name, partitions=1) for name in topics])
    return log


def letter(
    number: int,
    *,
    reason: str = "bad-type",
    payload: bytes | None = None,
    cut: int = 0,
    topic: str = "events",
) -> DeadLetter:
    content = json.dumps({"trip_id": f"t{number}"}).encode() if payload is None else payload
    return DeadLetter(
        record_id=f"letter-{number:05}",
        model="m",
        at=float(number),
        topic=topic,
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
    letters = [letter(1), letter(2, cut=10), letter(1)]
    whole, skipped = dead_letters.replayable(log_with("events"), letters, topics={"events"})
    assert [entry.offset for entry in whole] == [1]
    assert ["cut off" in entry.reason for entry in skipped] == [True, False]


@pytest.mark.parametrize("repeats", [1, 2, 7])
def test_an_original_that_failed_again_at_new_positions_is_replayed_once(repeats: int) -> None:
    letters = [letter(number, payload=b"the same") for number in range(repeats)]
    letters += [letter(100, payload=b"the same", topic="labels"), letter(101, payload=b"another")]
    log = log_with("events", "labels")
    whole, skipped = dead_letters.replayable(log, letters, topics={"events", "labels"})
    assert [entry.offset for entry in whole] == [0, 100, 101]
    assert len(skipped) == repeats - 1


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("commands", "not a topic of this configuration's models"),
        ("", "not a topic of this configuration's models"),
        ("../x y", "not a topic of this configuration's models"),
        ("labels", "the topic labels does not exist"),
    ],
)
def test_an_original_of_another_or_a_deleted_topic_is_skipped(topic: str, reason: str) -> None:
    log = log_with("events", "commands")
    letters = [letter(1, topic=topic), letter(2)]
    whole, (skipped,) = dead_letters.replayable(log, letters, topics={"events", "labels"})
    assert [entry.offset for entry in whole] == [2]
    assert reason in skipped.reason


@pytest.mark.parametrize(
    ("cut", "reason"),
    [
        (-8, "it has 8 bytes, but its record gives 0"),
        (-9, "it has 8 bytes, but its record gives -1"),
        (2, "2 of 10 bytes were cut off"),
    ],
)
def test_an_original_whose_size_is_wrong_is_skipped(cut: int, reason: str) -> None:
    letters = [letter(1, payload=b"12345678", cut=cut)]
    whole, (skipped,) = dead_letters.replayable(log_with("events"), letters, topics={"events"})
    assert whole == []
    assert skipped.reason == reason


def test_a_replay_that_fails_midway_counts_what_was_sent() -> None:
    letters = [letter(1), letter(2), letter(3, topic="labels"), letter(4, topic="predictions")]
    log = RefusingLog()
    with pytest.raises(UnavailableError) as error:
        dead_letters.replay(log, letters, {})
    message = str(error.value)
    assert message.startswith("Kafka did not accept 1 messages. ")
    assert "before the failure: 2 to events; perhaps in part: 1 to labels" in message
    assert message.endswith("not sent: 1 to predictions.")
    assert log.spans("predictions") == ()


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        (b'{"trip_id": "t1"}', b"t1"),
        (b'{"trip_id": 7}', b"7"),
        (b'{"trip_id": "\\ud83d"}', None),
        (b'{"trip_id": [1]}', None),
        (b'{"another": 1}', None),
        (b"[1]", None),
        (b"null", None),
        (b"", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (b"[" * 100_000 + b"]" * 100_000, None),
        (b"9" * 6_000, None),
    ],
    ids=lambda value: str(value[:12]) if isinstance(value, bytes) else None,
)
def test_the_key_of_any_payload_is_its_key_field_or_none(payload: bytes, key: bytes | None) -> None:
    log = MemoryLog()
    dead_letters.replay(log, [letter(1, payload=payload)], {"m": "trip_id"})
    (message,) = [message for span in log.spans("events") for message in log.read(span)]
    assert (message.key, message.value) == (key, payload)


def test_reasons_are_counted() -> None:
    log = MemoryLog()
    log.append([letter(1), letter(2, reason="unreadable"), letter(3)])
    assert dead_letters.reasons(log, None, last=10) == {"bad-type": 2, "unreadable": 1}
    assert dead_letters.reasons(log, "another", last=10) == {}


def test_originals_return_to_their_topic_with_the_models_key() -> None:
    log = MemoryLog()
    letters = [letter(1), letter(2, payload=b"\xff not json")]
    dead_letters.replay(log, letters, {"m": "trip_id"})
    (span,) = log.spans("events")
    sent = [(message.key, message.value) for message in log.read(span)]
    assert sent == [(b"t1", b'{"trip_id": "t1"}'), (None, b"\xff not json")]


def test_an_original_returns_with_its_own_key_and_headers() -> None:
    log = log_with("events")
    original = replace(
        letter(1), key=b"k", key_bytes=1, headers=(MessageHeader(name="ce_id", value=b"7"),)
    )
    others = [replace(original, key=b"other"), replace(original, headers=())]
    whole, skipped = dead_letters.replayable(log, [original, original, *others], topics={"events"})
    assert len(skipped) == 1
    dead_letters.replay(log, whole, {"m": "trip_id"})
    (span,) = log.spans("events")
    sent = [(message.key, message.headers) for message in log.read(span)]
    assert sent == [(b"k", (("ce_id", b"7"),)), (b"other", (("ce_id", b"7"),)), (b"k", ())]


@pytest.mark.parametrize(
    ("cut", "reason"),
    [
        ({"key": b"k", "key_bytes": 9}, "8 of 9 bytes of its key were cut off"),
        ({"headers_dropped": 3}, "3 of its headers were cut off"),
    ],
)
def test_an_original_without_its_whole_key_or_headers_is_skipped(
    cut: dict[str, Any], reason: str
) -> None:
    letters = [replace(letter(1), **cut)]
    whole, (skipped,) = dead_letters.replayable(log_with("events"), letters, topics={"events"})
    assert (whole, skipped.reason) == ([], reason)
