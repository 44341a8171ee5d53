"""Text from users, records and files is printed as it is, whatever Rich would make of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from streaming.contracts.log import MemoryLog
from streaming.contracts.records import (
    SchemaChange,
    SchemaFinding,
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
)
from tests.deploy.cli.builders import (
    MODEL,
    canary_verdict,
    dead_letter,
    drift_verdict,
    promotion,
    status,
    version,
)
from tests.deploy.cli.doubles import HOSTILE, HOSTILE_TEXT, replying
from tests.deploy.cli.runner import run


def hostile_schema() -> list[SchemaVersion | SchemaProposal | SchemaVerdict]:
    change = SchemaChange(
        act="add_column",
        feature=HOSTILE_TEXT,
        safe=True,
        reason=HOSTILE_TEXT,
        cost=HOSTILE_TEXT,
    )
    finding = SchemaFinding(
        kind="new_column",
        feature=HOSTILE_TEXT,
        outcome="suspected",
        reason=HOSTILE_TEXT,
        values=HOSTILE,
    )
    active = SchemaVersion(
        record_id="schema-1",
        model=MODEL,
        at=1.0,
        version=1,
        digest="digest",
        text="# [/x] [red] \\[ [bold]\n",
        accepted_by=HOSTILE_TEXT,
        reason=HOSTILE_TEXT,
        parent=0,
    )
    proposal = SchemaProposal(
        record_id="proposal-1",
        model=MODEL,
        at=2.0,
        proposal_id="abcdef",
        state="open",
        base_version=1,
        base_digest="digest",
        digest="next",
        text="",
        diff="",
        changes=(change,),
        affects=(HOSTILE_TEXT,),
        evidence=(finding,),
        reason=HOSTILE_TEXT,
    )
    verdict = SchemaVerdict(
        record_id="schema-verdict-1",
        model=MODEL,
        at=3.0,
        window_start=0.0,
        window_end=1.0,
        outcome="suspected",
        reason=HOSTILE_TEXT,
        rows=1,
        schema_version=1,
        schema_digest="digest",
        findings=(finding,),
    )
    return [active, proposal, verdict]


@pytest.fixture
def log() -> MemoryLog:
    """A log whose texts are all hostile."""
    filled = MemoryLog()
    filled.append(
        [
            version(2, reason=HOSTILE_TEXT),
            promotion(2, replaced=1, reason=HOSTILE_TEXT),
            status("stepping", weight=10, reason=HOSTILE_TEXT, waits_for=HOSTILE_TEXT),
            canary_verdict(reason=HOSTILE_TEXT, gate=HOSTILE_TEXT),
            dead_letter(1, payload=HOSTILE_TEXT.encode(), reason=HOSTILE_TEXT, detail=HOSTILE_TEXT),
            drift_verdict(reason=HOSTILE_TEXT, feature=HOSTILE_TEXT),
            *hostile_schema(),
        ]
    )
    return filled


@pytest.mark.parametrize(
    "words",
    [
        ("models",),
        ("versions", MODEL),
        ("trace", "2"),
        ("trace", "version-2"),
        ("drift", MODEL),
        ("drift", MODEL, "--feature", HOSTILE_TEXT),
        ("rollout", "status", MODEL),
        ("dead-letters", "list"),
        ("dead-letters", "show", "letter-0001"),
        ("schema", "check", MODEL),
        ("schema", "history", MODEL),
        ("schema", "show", MODEL),
    ],
    ids=" ".join,
)
def test_texts_of_records_are_printed_literally(log: MemoryLog, words: tuple[str, ...]) -> None:
    shown = run(*words, log=log, env={"COLUMNS": "1000"})
    assert shown.exit_code == 0, shown.stderr
    printed = " ".join(shown.output.split())
    for text in HOSTILE:
        assert text in printed


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize(
    "words",
    [
        ("retrain", MODEL, "--reason", HOSTILE_TEXT),
        ("rollout", "promote", MODEL, "--yes", "--reason", HOSTILE_TEXT),
        ("rollout", "pause", MODEL),
        ("schema", "accept", "abcdef", "--reason", HOSTILE_TEXT, "--yes"),
        ("schema", "reject", "abcdef", "--reason", HOSTILE_TEXT),
    ],
    ids=lambda words: " ".join(words[:2]) if isinstance(words, tuple) else None,
)
def test_replies_are_printed_literally_and_a_refusal_once(
    log: MemoryLog, words: tuple[str, ...], accepted: bool
) -> None:
    with replying(log, accepted=accepted, reason=f"Conflict: {HOSTILE_TEXT}") as daemon:
        shown = run(*words, log=log)
    assert shown.exit_code == (0 if accepted else 5)
    assert len(daemon.commands) == 1
    last = shown.stderr.strip().splitlines()[-1]
    assert HOSTILE_TEXT in last
    if not accepted:
        assert last == f"Conflict: {HOSTILE_TEXT}"
        assert shown.output.count(last) == 1


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "words",
    [
        ("drift",),
        ("trace",),
        ("versions",),
        ("logs",),
        ("job", "status"),
        ("rollout", "status"),
        ("dead-letters", "show"),
        ("schema", "check"),
        ("predict",),
    ],
    ids=" ".join,
)
def test_errors_about_foreign_names_are_printed_literally(
    words: tuple[str, ...], text: str, tmp_path: Path
) -> None:
    shown = run(*words, text, env={"DRIFTLINE_HOME": str(tmp_path)})
    assert shown.exit_code == 3
    assert text in shown.stderr


@pytest.mark.parametrize("text", HOSTILE)
def test_an_unknown_command_is_wrong_usage(text: str) -> None:
    assert run(text).exit_code == 2


def test_a_missing_feature_is_named_literally(log: MemoryLog) -> None:
    shown = run("drift", MODEL, "--feature", "[/y]", log=log)
    assert shown.exit_code == 3
    assert "[/y]" in shown.stderr
    assert "[/x]" in shown.stderr


def test_a_payload_cannot_control_the_terminal() -> None:
    log = MemoryLog()
    log.append([replace(dead_letter(1), payload=b"\x1b[31m[/x]\x07", payload_bytes=10)])
    for words in (("list",), ("show", "letter-0001")):
        shown = run("dead-letters", *words, log=log)
        assert shown.exit_code == 0
        assert "\x1b" not in shown.output
        assert r"\x1b[31m[/x]\x07" in shown.output


CONTROLS = {
    "colour and title": "\x1b[31mred\x1b]0;title\x07",
    "8-bit sequence": "a\x9b31mb",
    "direction": "abc\u202edef\u2066g\u2069",
    "carriage return": "good\rEVIL",
    "newline": "line 1\nversion 9 blessed",
    "backspace": "a\x08\x08b",
    "null": "a\x00b",
    "line separator": "a\u2028b",
}


@pytest.mark.parametrize("text", CONTROLS.values(), ids=CONTROLS)
def test_control_characters_of_records_never_reach_the_terminal(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.HOSTILE_TEXT", text)
    monkeypatch.setattr(f"{__name__}.HOSTILE", (text,))
    log = MemoryLog()
    log.append(
        [
            version(2, reason=text),
            promotion(2, replaced=1, reason=text),
            status("stepping", weight=10, reason=text, waits_for=text),
            canary_verdict(reason=text, gate=text),
            dead_letter(1, payload=text.encode(), reason=text, detail=text, topic=text),
            drift_verdict(reason=text, feature=text),
            *hostile_schema(),
        ]
    )
    for words in (
        ("models",),
        ("versions", MODEL),
        ("trace", "2"),
        ("drift", MODEL),
        ("drift", MODEL, "--feature", text),
        ("rollout", "status", MODEL),
        ("dead-letters", "list"),
        ("dead-letters", "show", "letter-0001"),
        ("dead-letters", "replay", "--id", "letter-0001", "--dry-run"),
        ("schema", "check", MODEL),
        ("schema", "history", MODEL),
        ("schema", "show", MODEL),
        ("versions", text),
    ):
        for as_json in ((), ("--json",)):
            shown = run(*words, *as_json, log=log)
            for char in "\x00\x07\x08\r\x1b\x9b\u202e\u2066\u2069\u2028":
                assert char not in shown.output, words
            if words != ("versions", text):  # errors may have several lines
                lines = (line.strip() for line in shown.output.splitlines())
                assert not any(line.startswith("version 9 blessed") for line in lines), words


@pytest.mark.parametrize("at", [1.7e12, 1e12, -1e12, 1e17, 1e300, -1e300])
def test_records_with_impossible_times_are_listed(at: float) -> None:
    log = MemoryLog()
    verdict = replace(drift_verdict(), at=at, window_start=at, window_end=at)
    records = [
        version(2),
        promotion(2, replaced=1),
        status("stepping", weight=10),
        canary_verdict(),
        dead_letter(1),
        *hostile_schema(),
    ]
    log.append([verdict, *(replace(record, at=at) for record in records)])
    for words in (
        ("models",),
        ("versions", MODEL),
        ("trace", "2"),
        ("drift", MODEL),
        ("drift", MODEL, "--feature", "fare"),
        ("rollout", "status", MODEL),
        ("dead-letters", "list"),
        ("dead-letters", "show", "letter-0001"),
        ("schema", "history", MODEL),
    ):
        assert run(*words, log=log).exit_code == 0, words
