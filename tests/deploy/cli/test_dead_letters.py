"""`driftline dead-letters list | show | replay` on a log in memory."""

from __future__ import annotations

import pytest

from streaming.contracts.log import MemoryLog
from tests.deploy.cli.builders import dead_letter
from tests.deploy.cli.runner import data, run
from tests.deploy.records.test_reader import CountingLog


@pytest.fixture
def log() -> MemoryLog:
    filled = MemoryLog()
    filled.append(
        [
            dead_letter(1),
            dead_letter(2, reason="unreadable", payload=b"\xff{"),
            dead_letter(3, cut=5000),
            dead_letter(4),
        ]
    )
    return filled


def sent(log: MemoryLog, topic: str = "taxi.events") -> list[tuple[bytes | None, bytes | None]]:
    return [(message.key, message.value) for span in log.spans(topic) for message in log.read(span)]


def test_the_list_is_the_newest_with_counts_by_reason(log: MemoryLog) -> None:
    shown = run("dead-letters", "list", "--last", "3", log=log)
    assert "taxi.events/0@4" in shown.stdout
    assert "taxi.events/0@1" not in shown.stdout
    assert "bad-type: 2 of the newest 3" in shown.stderr
    chosen = data(run("dead-letters", "list", "--reason", "unreadable", "--json", log=log))
    assert [letter["offset"] for letter in chosen] == [2]


def test_the_list_does_not_read_the_whole_topic() -> None:
    log = CountingLog()
    log.append([dead_letter(number) for number in range(5_000)])
    CountingLog.read_so_far = 0
    assert run("dead-letters", "list", "--last", "10", log=log).exit_code == 0
    assert CountingLog.read_so_far <= 16


def test_a_letter_is_shown_whole_and_json_is_indented(log: MemoryLog) -> None:
    shown = run("dead-letters", "show", "taxi.events/0@1", log=log)
    assert '  "fare": "x"' in shown.stdout
    cut = run("dead-letters", "show", "letter-0003", log=log)
    assert "The first 30 of 5030 bytes" in cut.stdout
    assert r"\xff{" in run("dead-letters", "show", "letter-0002", log=log).stdout
    assert run("dead-letters", "show", "taxi.events/0@99", log=log).exit_code == 3


def test_a_replay_sends_whole_originals_with_their_key_and_names_the_others(
    log: MemoryLog,
) -> None:
    shown = run("dead-letters", "replay", "--reason", "bad-type", "--yes", log=log)
    assert shown.exit_code == 0, shown.stderr
    assert sent(log) == [(b"t1", b'{"trip_id": "t1", "fare": "x"}')] * 2
    assert "skipped taxi.events/0@3: 5000 of 5030 bytes were cut off" in shown.stderr
    assert "2 sent again, 1 skipped." in shown.stderr


def test_one_letter_is_replayed_by_its_id(log: MemoryLog) -> None:
    shown = data(run("dead-letters", "replay", "--id", "letter-0002", "--yes", "--json", log=log))
    assert shown == {"sent": True, "letters": ["taxi.events/0@2"], "skipped": {}}
    assert sent(log) == [(None, b"\xff{")]


def test_a_dry_run_and_a_missing_consent_send_nothing(log: MemoryLog) -> None:
    dry = run("dead-letters", "replay", "--reason", "bad-type", "--dry-run", log=log)
    assert "2 would be sent again, 1 skipped." in dry.stderr
    assert run("dead-letters", "replay", "--reason", "bad-type", log=log).exit_code == 2
    assert run("dead-letters", "replay", log=log).exit_code == 2
    assert sent(log) == []
