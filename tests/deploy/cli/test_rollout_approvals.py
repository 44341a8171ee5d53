"""`driftline rollout approvals | approve | reject`: what is shown is what is decided on."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from deploy.cli.shared import command
from serving.approvals import outcome_record
from streaming.contracts import topics
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import (
    Command,
    Metric,
)
from tests.deploy.cli.approval_records import COMPARED, NOW, ended, request, yes
from tests.deploy.cli.builders import MODEL, canary_verdict, status, version
from tests.deploy.cli.doubles import HOSTILE, HOSTILE_TEXT, replying
from tests.deploy.cli.runner import data, run

ME = {"USER": "ann"}


@pytest.fixture
def log() -> MemoryLog:
    """Version 2 awaits two people; ben has said yes, an earlier request has ended."""
    filled = MemoryLog()
    filled.ensure(topics.RECORD_TOPICS)
    earlier, now_open = request(at=NOW - 120.0), request()
    filled.append(
        [
            version(1),
            version(2),
            COMPARED,
            status("awaiting-approval", waits_for="approval before canary"),
            canary_verdict(weight=0),
            earlier,
            ended(earlier),
            now_open,
            yes(now_open),
        ]
    )
    return filled


def test_the_list_says_what_is_open_who_said_what_and_how_others_ended(log: MemoryLog) -> None:
    shown = run("rollout", "approvals", MODEL, log=log)
    assert shown.exit_code == 0, shown.stderr
    for words in ("open", "ben yes: the slices look right", "1 of 2 approved", "void", "ejected"):
        assert words in shown.stdout
    assert f"`driftline rollout approve {MODEL}`" in shown.stderr
    entries = data(run("rollout", "approvals", "--json", log=log))
    assert [entry["state"] for entry in entries] == ["void", "open"]
    assert entries[1]["request"]["digest"] == request().digest
    assert entries[1]["decisions"][0]["who"] == "ben"
    assert len(data(run("rollout", "approvals", "--json", "--last", "1", log=log))) == 1


def test_before_the_first_request_the_list_says_so() -> None:
    shown = run("rollout", "approvals", MODEL)
    assert (shown.exit_code, shown.stdout) == (0, "Nobody was asked to approve anything yet.\n")
    assert data(run("rollout", "approvals", MODEL, "--json")) == []


SHOWN = (
    "approval before canary, to replace version 1",
    "1 of 2 approved",
    "who may decide: ann (lead), ben; 2 different people are needed",
    "said so far: ben yes: the slices look right",
    "At 20 requests/s this takes about 31 min.",
    "version 2 of big_tipper",
    "digest of its files digest-2",
    f"digest of the evaluation {request().evaluation}",
    f"digest of the comparison of answers {request().comparison}",
    "auc 0.900 (0.890 to 0.910, n 10)",
    "canary at 0 %",
    "answers compared: pass: Both order requests alike.",
    "on yes: Version 2 starts its canary with 1 %.",
    "on no: Version 2 is not rolled out.",
    "after the deadline: The rollout ends as on a no.",
)


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_what_is_decided_is_shown_and_its_request_and_digest_are_sent(
    log: MemoryLog, action: str
) -> None:
    with replying(log) as daemon:
        shown = run("rollout", action, MODEL, "--yes", "--reason", "I looked", log=log, env=ME)
    assert shown.exit_code == 0, shown.stderr
    for words in (*SHOWN, f"digest of all that is shown {request().digest}"):
        assert words in shown.stderr
    (sent,) = daemon.commands
    assert (sent.action, sent.version, sent.who, sent.reason) == (action, 2, "ann", "I looked")
    assert (sent.subject, sent.digest) == (request().record_id, request().digest)


def test_the_reply_is_json_where_asked(log: MemoryLog) -> None:
    with replying(log, reason="ann approved") as daemon:
        shown = data(run("rollout", "approve", MODEL, "--yes", "--json", log=log, env=ME))
    assert shown["command_id"] == daemon.commands[0].record_id


@pytest.mark.parametrize("action", ["approve", "reject"])
@pytest.mark.parametrize(("answer", "sent"), [("y\n", 1), ("n\n", 0)])
def test_on_a_terminal_consent_is_asked_after_all_was_shown(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, action: str, answer: str, sent: int
) -> None:
    monkeypatch.setattr(command, "on_terminal", lambda: True)
    words = ("rollout", action, MODEL, "--reason", "because")
    with replying(log) as daemon:
        shown = run(*words, log=log, env=ME, stdin=answer)
    assert len(daemon.commands) == sent
    assert shown.exit_code == (0 if sent else 1)
    assert f"If you say {'yes' if action == 'approve' else 'no'}: Version 2" in shown.stderr


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_without_a_terminal_consent_is_needed(log: MemoryLog, action: str) -> None:
    with replying(log) as daemon:
        shown = run("rollout", action, MODEL, "--reason", "because", log=log, env=ME)
    assert shown.exit_code == 2
    assert "--yes" in shown.stderr
    assert daemon.commands == []


@pytest.mark.parametrize("options", [[], ["--reason", "  "]])
def test_a_rejection_needs_a_reason(log: MemoryLog, options: list[str]) -> None:
    with replying(log) as daemon:
        shown = run("rollout", "reject", MODEL, "--yes", *options, log=log, env=ME)
    assert shown.exit_code == 2
    assert "needs a --reason" in shown.stderr
    assert daemon.commands == []


def test_force_needs_a_reason_and_is_sent_with_it(log: MemoryLog) -> None:
    words = ("rollout", "approve", MODEL, "--force", "--yes")
    with replying(log) as daemon:
        assert run(*words, log=log, env=ME).exit_code == 2
        assert daemon.commands == []
        assert run(*words, "--reason", "checked", log=log, env=ME).exit_code == 0
    assert (daemon.commands[0].force, daemon.commands[0].reason) == (True, "checked")


@pytest.mark.parametrize("digest", [request().digest, "digest-2"])
def test_a_digest_that_was_reviewed_before_is_accepted(log: MemoryLog, digest: str) -> None:
    with replying(log) as daemon:
        run("rollout", "approve", MODEL, "--digest", digest, "--yes", log=log, env=ME)
    assert daemon.commands[0].digest == request().digest


def conflict(log: MemoryLog, *options: str) -> str:
    """What is said where nothing is sent because of a conflict."""
    with replying(log) as daemon:
        shown = run("rollout", "approve", MODEL, "--yes", *options, log=log, env=ME)
    assert shown.exit_code == 5, shown.stderr
    assert daemon.commands == []
    assert "`driftline rollout " in shown.stderr
    return shown.stderr


def test_another_version_digest_or_request_than_the_open_one_is_a_conflict(log: MemoryLog) -> None:
    assert "Version 2 of big_tipper awaits an approval, not 3" in conflict(log, "--version", "3")
    assert f"has the digest {request().digest}, not x" in conflict(log, "--digest", "x")
    earlier = request(at=NOW - 120.0).record_id
    assert "has ended (void): The canary was ejected." in conflict(log, "--request", earlier[:8])


def test_a_request_that_does_not_exist_is_not_found(log: MemoryLog) -> None:
    shown = run("rollout", "approve", MODEL, "--request", "zzz", "--yes", log=log, env=ME)
    assert shown.exit_code == 3
    assert f"`driftline rollout approvals {MODEL}`" in shown.stderr


CHANGED = [
    replace(
        version(2), record_id="again", at=99.0, artifact=replace(version(2).artifact, digest="x")
    ),
    replace(
        version(2),
        record_id="again",
        at=99.0,
        evaluation=(Metric(name="auc", slice="", value=1.0),),
    ),
]


@pytest.mark.parametrize("changed", CHANGED)
def test_a_version_that_changed_since_it_was_asked_about_is_a_conflict(
    log: MemoryLog, changed: object
) -> None:
    log.append([changed])  # type: ignore[list-item]
    assert "is another one than people were asked about" in conflict(log)


def test_a_comparison_that_changed_is_a_conflict(log: MemoryLog) -> None:
    log.append([replace(COMPARED, comparison=replace(COMPARED.comparison, rows=1), at=99.0)])
    assert "comparison of answers" in conflict(log)


def test_what_the_daemon_refuses_keeps_its_reason_and_its_exit_code(log: MemoryLog) -> None:
    for reason, code in (
        ("Conflict: this request has ended (void) and is used up.", 5),
        ("Not allowed: ann proposed it, so somebody else must approve.", 6),
    ):
        with replying(log, accepted=False, reason=reason):
            shown = run("rollout", "approve", MODEL, "--yes", log=log, env=ME)
        assert shown.exit_code == code
        assert reason.partition(": ")[2] in shown.stderr


@pytest.mark.parametrize(
    ("who", "barred", "words"),
    [("eve", (), "not among those who may decide"), ("ann", ("ann",), "ann proposed it")],
)
def test_who_may_not_approve_is_told_before_anything_is_sent(
    who: str, barred: tuple[str, ...], words: str
) -> None:
    log = MemoryLog()
    log.append([version(2), COMPARED, request(barred=barred)])
    with replying(log) as daemon:
        shown = run("rollout", "approve", MODEL, "--yes", log=log, env={"USER": who})
    assert shown.exit_code == 6
    assert words in shown.stderr
    assert daemon.commands == []


def test_the_first_of_several_people_is_told_that_others_must_approve_too() -> None:
    log = MemoryLog()
    asked_of = request()
    log.append([version(2), COMPARED, asked_of])
    with replying(log) as daemon:
        shown = run("rollout", "approve", MODEL, "--yes", log=log, env=ME)
        assert "Your yes is 1 of 2. When all of them have said yes: Version 2" in shown.stderr
        log.append([yes(asked_of, "ann")])
        again = run("rollout", "approve", MODEL, "--yes", log=log, env=ME)
    assert again.exit_code == 5
    assert "ann has approved already" in again.stderr
    assert len(daemon.commands) == 1


def test_without_an_open_request_the_next_command_is_named() -> None:
    for action in ("approve", "reject"):
        shown = run("rollout", action, MODEL, "--yes", "--reason", "x")
        assert shown.exit_code == 3
        assert f"`driftline rollout status {MODEL}`" in shown.stderr


def test_words_of_people_are_printed_as_they_are(log: MemoryLog) -> None:
    asked_of = request(at=NOW - 5.0, reason=HOSTILE_TEXT, on_yes=HOSTILE_TEXT, people=3)
    log.append([ended(request()), asked_of, replace(yes(asked_of), reason=HOSTILE_TEXT)])
    with replying(log):
        shown = run("rollout", "approve", MODEL, "--yes", log=log, env=ME)
    assert shown.exit_code == 0, shown.stderr
    listed = run("rollout", "approvals", MODEL, log=log)
    for words in HOSTILE:
        assert words in shown.stderr
        assert words in listed.stdout


def test_trace_shows_request_and_decisions_behind_an_outcome(log: MemoryLog) -> None:
    asked_of = request()
    decision = yes(asked_of)
    outcome = outcome_record(asked_of, (decision,), "approved", "ben approved.", NOW)
    sent = Command(
        record_id="command-ben", model=MODEL, at=NOW, action="approve", reason="r", who="ben"
    )
    log.append([sent, outcome])
    shown = run("trace", outcome.record_id, log=log).stdout
    for words in (
        "approval of version 2 approved: ben approved.",
        "2 people asked to approve version 2 before canary",
        "ben said yes to version 2: the slices look right",
        "ben sent the command approve",
        "answers of versions 1 and 2",
    ):
        assert words in shown
