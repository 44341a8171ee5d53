"""`driftline dead-letters list | show | replay` on a log in memory."""

from __future__ import annotations

import json

import pytest
import typer
from msgspec.structs import replace

from deploy.cli.commands.dead_letters import PREVIEW, preview
from deploy.cli.shared import command
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import MessageHeader
from streaming.contracts.topics import applications_topic
from tests.deploy.cli.builders import MODEL, dead_letter
from tests.deploy.cli.runner import data, run
from tests.deploy.records.test_reader import CountingLog


@pytest.fixture
def log() -> MemoryLog:
    filled = MemoryLog()
    filled.ensure([applications_topic("taxi.trips", partitions=1)])
    filled.append(
        [
            dead_letter(1),
            dead_letter(2, reason="unreadable", payload=b"\xff{"),
            dead_letter(3, cut=5000),
            dead_letter(4, payload=b'{"trip_id": "t4", "fare": "x"}'),
        ]
    )
    return filled


def sent(log: MemoryLog, topic: str = "taxi.trips") -> list[tuple[bytes | None, bytes | None]]:
    return [(message.key, message.value) for span in log.spans(topic) for message in log.read(span)]


def test_the_list_is_the_newest_with_counts_by_reason(log: MemoryLog) -> None:
    shown = run("dead-letters", "list", "--last", "3", log=log)
    assert "taxi.trips/0@4" in shown.stdout
    assert "taxi.trips/0@1" not in shown.stdout
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
    shown = run("dead-letters", "show", "taxi.trips/0@1", log=log)
    assert '  "fare": "x"' in shown.stdout
    cut = run("dead-letters", "show", "letter-0003", log=log)
    assert "The first 30 of 5030 bytes" in cut.stdout
    assert r"\xff{" in run("dead-letters", "show", "letter-0002", log=log).stdout
    assert run("dead-letters", "show", "taxi.trips/0@99", log=log).exit_code == 3


def test_a_replay_sends_whole_originals_with_their_key_and_names_the_others(
    log: MemoryLog,
) -> None:
    shown = run("dead-letters", "replay", "--reason", "bad-type", "--yes", log=log)
    assert shown.exit_code == 0, shown.stderr
    assert sent(log) == [
        (b"t1", b'{"trip_id": "t1", "fare": "x"}'),
        (b"t4", b'{"trip_id": "t4", "fare": "x"}'),
    ]
    assert "skipped taxi.trips/0@3: 5000 of 5030 bytes were cut off" in shown.stderr
    assert "2 sent again, 1 skipped." in shown.stderr


def test_one_letter_is_replayed_by_its_id(log: MemoryLog) -> None:
    shown = data(run("dead-letters", "replay", "--id", "letter-0002", "--yes", "--json", log=log))
    assert shown == {"sent": True, "letters": ["taxi.trips/0@2"], "skipped": {}}
    assert sent(log) == [(None, b"\xff{")]


def test_a_dry_run_and_a_missing_consent_send_nothing(log: MemoryLog) -> None:
    dry = run("dead-letters", "replay", "--reason", "bad-type", "--dry-run", log=log)
    assert "2 would be sent again, 1 skipped." in dry.stderr
    assert run("dead-letters", "replay", "--reason", "bad-type", log=log).exit_code == 2
    assert run("dead-letters", "replay", log=log).exit_code == 2
    assert sent(log) == []


def test_a_payload_that_is_not_shown_whole_ends_in_an_ellipsis() -> None:
    assert preview(dead_letter(1)).endswith("}")
    assert preview(dead_letter(1, payload=b"x" * (PREVIEW + 1))) == "x" * PREVIEW + "…"
    assert preview(dead_letter(1, cut=5000)).endswith("}…")


def test_repeated_replays_of_an_original_that_stays_unusable_do_not_grow(log: MemoryLog) -> None:
    for repeat in range(4):
        before = len(sent(log))
        assert (
            run("dead-letters", "replay", "--reason", "bad-type", "--yes", log=log).exit_code == 0
        )
        resent = sent(log)[before:]
        assert len(resent) == 2
        log.append(
            [
                replace(dead_letter(1000 + 10 * repeat + index), payload=value or b"")
                for index, (_, value) in enumerate(resent)
            ]
        )


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("commands", "commands is not a topic of this configuration's models"),
        ("dead-letters", "dead-letters is not a topic of this configuration's models"),
        ("taxi.tips", "the topic taxi.tips does not exist"),
    ],
)
def test_originals_of_other_and_deleted_topics_are_skipped(
    log: MemoryLog, topic: str, reason: str, as_json: bool
) -> None:
    log.append([dead_letter(5, topic=topic)])
    before = sent(log, topic)
    words = ("dead-letters", "replay", "--reason", "bad-type", "--yes")
    shown = run(*words, *(["--json"] if as_json else []), log=log)
    assert shown.exit_code == 0
    assert f"skipped {topic}/0@5: {reason}" in shown.stderr
    if as_json:
        assert data(shown)["skipped"][f"{topic}/0@5"] == reason
    assert len(sent(log)) == 2
    assert sent(log, topic) == before


@pytest.mark.parametrize("options", [("--reason", "bad-type"), ("--id", "letter-0001")])
@pytest.mark.parametrize("model", ["nope", "", "big_tippe"])
def test_an_unknown_model_is_refused(log: MemoryLog, options: tuple[str, str], model: str) -> None:
    shown = run("dead-letters", "replay", *options, "--model", model, "--yes", log=log)
    assert shown.exit_code == 3
    assert f"no model {model}" in shown.stderr
    assert sent(log) == []


@pytest.mark.parametrize("reason", ["nope", "bad-typ", "", "\x1b[31m"])
@pytest.mark.parametrize("words", [("list",), ("replay", "--yes"), ("list", "--model", MODEL)])
def test_a_reason_that_matches_nothing_lists_the_reasons(
    log: MemoryLog, words: tuple[str, ...], reason: str
) -> None:
    shown = run("dead-letters", *words, "--reason", reason, log=log)
    assert shown.exit_code == 0
    assert "the newest 4 have bad-type (3), unreadable (1)." in shown.stderr
    assert "\x1b" not in shown.output
    empty = run("dead-letters", *words, "--reason", reason, log=MemoryLog())
    assert "there are no dead letters." in empty.stderr


@pytest.mark.parametrize("payload_bytes", [0, 5, -7])
def test_a_size_below_the_payloads_is_not_a_cut(log: MemoryLog, payload_bytes: int) -> None:
    log.append([replace(dead_letter(9), payload_bytes=payload_bytes)])
    shown = run("dead-letters", "show", "letter-0009", log=log)
    assert f"30 bytes, although the record gives {payload_bytes}:" in shown.stdout
    dry = run("dead-letters", "replay", "--id", "letter-0009", "--dry-run", log=log)
    assert f"it has 30 bytes, but its record gives {payload_bytes}" in dry.stderr


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b'{"a":"\\ud83d"}', r"\ud83d"),
        (b'"\\u001b[31m"', r"\u001b[31m"),
        ('{"a":"\x9b31m\u202e"}'.encode(), r"\u009b31m\u202e"),
        (b"\xff\xfe\x00", r"\xff\xfe\x00"),
        (b'{"a":NaN}', "NaN"),
        (b"1e999999", "1e999999"),
        (b"9" * 6_000, "9" * 6_000),
        (b"[" * 100_000, "[" * 1_000),
        (b"", ""),
        (b'{"a":1,"a":2}', '  "a": 1,\n  "a": 2'),
    ],
    ids=lambda value: str(value[:12]),
)
def test_any_payload_is_shown_listed_and_replayed(
    log: MemoryLog, payload: bytes, text: str
) -> None:
    log.append([dead_letter(8, payload=payload)])
    shown = run("dead-letters", "show", "letter-0008", log=log)
    assert shown.exit_code == 0
    assert text in shown.stdout
    assert not set("\x1b\x9b\u202e\x00") & set(shown.output)
    assert run("dead-letters", "list", log=log).exit_code == 0
    words = ("dead-letters", "replay", "--id", "letter-0008", "--yes")
    assert run(*words, log=log).exit_code == 0
    assert sent(log) == [(None, payload)]


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("answer", ["", "n\n", "\n", "maybe\nmaybe\n"])
def test_no_consent_is_exit_1_and_json(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, answer: str, as_json: bool
) -> None:
    monkeypatch.setattr(command, "on_terminal", lambda: True)
    words = ["dead-letters", "replay", "--reason", "bad-type"]
    shown = run(*words, *(["--json"] if as_json else []), log=log, stdin=answer)
    assert shown.exit_code == 1
    assert "Nothing was done." in shown.stderr
    assert sent(log) == []
    _, brace, content = shown.stdout.partition("{")  # the runner echoes the answer before it
    assert bool(brace) is as_json
    if as_json:
        assert json.loads(brace + content)["error"] == {
            "type": "Declined",
            "message": "Nothing was done.",
            "exit_code": 1,
        }


def test_an_interrupted_question_is_no_consent(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> bool:
        raise typer.Abort

    monkeypatch.setattr(command, "on_terminal", lambda: True)
    monkeypatch.setattr(typer, "confirm", interrupted)
    shown = run("dead-letters", "replay", "--reason", "bad-type", "--json", log=log)
    assert shown.exit_code == 1
    assert data(shown)["error"]["type"] == "Declined"
    assert sent(log) == []


@pytest.mark.parametrize("answer", ["y\n", "Y\n", "yes\n"])
def test_consent_sends(log: MemoryLog, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr(command, "on_terminal", lambda: True)
    shown = run("dead-letters", "replay", "--reason", "bad-type", log=log, stdin=answer)
    assert shown.exit_code == 0
    assert len(sent(log)) == 2


def test_the_key_and_the_headers_of_a_dead_letter_are_shown_with_escapes(log: MemoryLog) -> None:
    headers = (
        MessageHeader(name="ce_id\x1b[2J", value=b"7\x07"),
        MessageHeader(name="empty", value=None),
    )
    letter = replace(dead_letter(8), key=b"k1\xff", key_bytes=9, headers=headers, headers_dropped=2)
    log.append([letter])
    shown = run("dead-letters", "show", "letter-0008", log=log)
    assert r"key k1\xff…" in shown.stdout
    assert r": 7\x07" in shown.stdout
    assert "header empty: null" in shown.stdout
    assert "2 headers were cut off" in shown.stdout
    assert not set("\x1b\x07") & set(shown.output)
