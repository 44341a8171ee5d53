"""Dead letters of the poison corpus: shown without harm, and replayed as they came."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest
from msgspec.structs import replace

from streaming.contracts.log import MemoryLog
from streaming.contracts.topics import applications_topic
from streaming.windowing.event_reader import EventReader, Fetch, ReadResult
from tests.deploy.cli.builders import MODEL
from tests.deploy.cli.runner import data, run
from tests.streaming.poison.corpus import corpus
from tests.streaming.poison.forms import EVENTS

TOPIC = "taxi.trips"
CONTRACT = replace(EVENTS.contract, model=MODEL, events_topic=TOPIC)
NOW = 1_795_000_000.0
VALUES = [poison.value for poison in corpus(EVENTS, NOW)]


@pytest.fixture
def log() -> MemoryLog:
    """A log with the dead letters of the corpus, and an empty topic for their originals."""
    result = ReadResult()
    fetch = Fetch(
        partition=0, offsets=range(len(VALUES)), values=VALUES, timestamp=lambda _: NOW - 1.0
    )
    EventReader(CONTRACT).add(result, fetch, now=NOW)
    filled = MemoryLog()
    filled.ensure([applications_topic(TOPIC, partitions=1)])
    filled.append(result.dead)
    return filled


def harmful(output: str) -> set[str]:
    """Characters that control a terminal, or change the direction of its text."""
    return {
        char
        for char in output
        if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    }


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_the_list_is_printed_without_control_characters(
    log: MemoryLog, as_json: tuple[str, ...]
) -> None:
    shown = run("dead-letters", "list", "--last", "1000", *as_json, log=log, env={"COLUMNS": "300"})
    assert shown.exit_code == 0, shown.stderr
    assert harmful(shown.output) == set()
    for reason in ("not_json", "wrong_type", "no_time", "past_time", "future_time", "oversize"):
        assert reason in shown.output


def test_letters_are_shown_without_control_characters(log: MemoryLog) -> None:
    letters = data(run("dead-letters", "list", "--last", "1000", "--json", log=log))
    assert len(letters) >= 150
    for letter in letters[::6]:
        target = f"{TOPIC}/0@{letter['offset']}"
        shown = run("dead-letters", "show", target, log=log)
        assert shown.exit_code == 0, shown.stderr
        assert harmful(shown.output) == set(), target
        assert letter["field"] in shown.output.replace("\\\\", "\\")


def test_originals_are_sent_again_byte_for_byte(log: MemoryLog) -> None:
    letters = data(run("dead-letters", "list", "--last", "1000", "--json", log=log))
    for reason in Counter(letter["reason"] for letter in letters):
        shown = run("dead-letters", "replay", "--reason", reason, "--yes", log=log)
        assert shown.exit_code == 0, shown.stderr
        assert harmful(shown.output) == set()
    (span,) = log.spans(TOPIC)
    sent = [message.value for message in log.read(span)]
    whole = {
        VALUES[letter["offset"]] or b"" for letter in letters if letter["payload_bytes"] <= 2048
    }
    assert set(sent) == whole
    assert len(sent) == len(whole)
