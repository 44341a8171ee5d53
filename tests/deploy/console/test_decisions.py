"""Decisions from the form: the command is that of the command line, bound to what was shown."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from starlette.testclient import TestClient

from deploy.console.context import Console
from deploy.projection.feed import catch_up
from deploy.projection.writer import ProjectionWriter
from streaming.contracts import topics
from streaming.contracts.errors import UnavailableError
from streaming.contracts.log import MemoryLog, Message, RecordLog
from streaming.contracts.records import (
    ApprovalOutcome,
    ApprovalRequest,
    Approver,
    Command,
    CommandReply,
    ModelVersion,
    Record,
)
from tests.deploy.console import scenario
from tests.deploy.console.consoles import FORM_HEADERS, browser, console_on


def copied() -> MemoryLog:
    """A log of its own with the records that wait for an approval."""
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    for topic in topics.RECORD_TOPICS:
        for span in scenario.shared().log.spans(topic.name):
            messages = [
                (message.key, message.value)
                for message in scenario.shared().log.read(span)
                if message.value is not None
            ]
            log.append_raw(topic.name, messages)
    return log


def waiting_request() -> ApprovalRequest:
    request = scenario.open_request(scenario.shared())
    assert request is not None
    return request


class DaemonsLog(MemoryLog):
    """Answers each command as soon as it is on the log."""

    accepts = True
    reason = "The approval counts."

    def append(self, records: list[Record], **options: object) -> None:  # type: ignore[override]
        MemoryLog.append(self, records)
        for record in records:
            if isinstance(record, Command):
                reply = CommandReply(
                    record_id=f"reply-{record.record_id}",
                    model=record.model,
                    at=record.at,
                    caused_by=(record.record_id,),
                    command_id=record.record_id,
                    accepted=self.accepts,
                    reason=self.reason,
                )
                MemoryLog.append(self, [reply])


def answering(log: MemoryLog, *, accepts: bool = True, reason: str = "It counts.") -> DaemonsLog:
    daemons = DaemonsLog(clock=log.clock, _partitions=log._partitions, _topics=log._topics)
    daemons.accepts, daemons.reason = accepts, reason
    return daemons


def console(log: MemoryLog, folder: Path, who: str = "ann") -> Console:
    return console_on(log, folder, now=scenario.shared().clock.now(), who=who)


def commands(log: MemoryLog) -> list[Command]:
    from deploy.records import reader

    return [entry for entry in reader.records(log, Command) if entry.subject == waiting().record_id]


def waiting() -> ApprovalRequest:
    return waiting_request()


def send(pages: TestClient, **fields: str) -> tuple[int, str]:
    form = {"answer": "approve", "digest": waiting().digest, "reason": "Looks right", **fields}
    response = pages.post(f"/approvals/{waiting().record_id}", data=form, headers=FORM_HEADERS)
    return response.status_code, response.text or response.headers.get("location", "")


def test_a_yes_sends_the_command_of_the_command_line(tmp_path: Path) -> None:
    log = answering(copied())
    status, location = send(browser(console(log, tmp_path)), reason=" The slices look right ")
    assert (status, location) == (303, f"/approvals/{waiting().record_id}")
    (command,) = commands(log)
    request = waiting()
    assert (command.action, command.who, command.reason) == (
        "approve",
        "ann",
        "The slices look right",
    )
    assert (command.version, command.subject, command.digest) == (
        request.version,
        request.record_id,
        request.digest,
    )
    assert not command.force


def test_a_no_needs_a_reason(tmp_path: Path) -> None:
    log = answering(copied())
    pages = browser(console(log, tmp_path))
    status, text = send(pages, answer="reject", reason="  ")
    assert status == 422
    assert "A no needs a reason" in text
    assert commands(log) == []
    assert send(pages, answer="reject", reason="Night trips got worse")[0] == 303
    assert [command.action for command in commands(log)] == ["reject"]


def test_a_stale_digest_is_refused_and_what_was_written_stays(tmp_path: Path) -> None:
    log = answering(copied())
    status, text = send(browser(console(log, tmp_path)), digest="0" * 64, reason="my own words")
    assert status == 409
    assert "not what people are asked about now" in text
    assert "my own words" in text
    assert commands(log) == []


def feed(console_: Console, log: MemoryLog, folder: Path, *records: Record) -> None:
    log.append(records)
    writer = ProjectionWriter(folder)
    catch_up(log, writer)
    writer.close()


def test_a_request_that_has_ended_meanwhile_is_refused(tmp_path: Path) -> None:
    log = copied()
    shown = console(log, tmp_path)
    pages = browser(shown)
    assert "<form" in pages.get(f"/approvals/{waiting().record_id}").text
    request = waiting()
    outcome = ApprovalOutcome(
        record_id="ended",
        model=request.model,
        at=request.at + 1.0,
        request_id=request.record_id,
        rollout_id=request.rollout_id,
        version=request.version,
        outcome="rejected",
        reason="ben said no.",
    )
    feed(shown, log, tmp_path, outcome)
    status, text = send(pages)
    assert status == 409
    assert "ben said no." in text
    assert "<form" not in text
    assert commands(log) == []


def test_a_version_that_has_changed_since_cannot_be_decided(tmp_path: Path) -> None:
    log = copied()
    shown = console(log, tmp_path)
    (version,) = [v for v in scenario.shared().records(ModelVersion) if v.version == 2]
    feed(shown, log, tmp_path, replace(version, reason="Another evaluation."))
    pages = browser(shown)
    page = pages.get(f"/approvals/{waiting().record_id}").text
    assert "It cannot be decided" in page
    assert "<form" not in page
    assert send(pages)[0] == 409
    assert commands(log) == []


def test_who_may_not_decide_is_told_before_and_refused_after(tmp_path: Path) -> None:
    log = copied()
    shown = console(log, tmp_path, who="eve")
    limited = replace(waiting(), approvers=(Approver(name="ann", role="engineer"),))
    feed(shown, log, tmp_path, limited)
    pages = browser(shown)
    page = pages.get(f"/approvals/{waiting().record_id}").text
    assert "You (eve) cannot say yes" in page
    assert "disabled" in page
    status, text = send(pages)
    assert status == 403
    assert "eve is not among those who may decide" in text
    assert commands(log) == []


def test_after_the_deadline_nobody_decides(tmp_path: Path) -> None:
    log = copied()
    late = console_on(log, tmp_path, now=waiting().deadline + 1.0)
    pages = browser(late)
    assert "The deadline has passed" in pages.get(f"/approvals/{waiting().record_id}").text
    assert send(pages)[0] == 409


@pytest.mark.parametrize(
    ("reason", "status"),
    [("Conflict: ann has approved already.", 409), ("Not allowed: ann proposed it.", 403)],
)
def test_a_refusal_of_the_daemon_is_shown(tmp_path: Path, reason: str, status: int) -> None:
    log = answering(copied(), accepts=False, reason=reason)
    answered, text = send(browser(console(log, tmp_path)))
    assert answered == status
    assert reason.partition(": ")[2] in text


class PausingLog(MemoryLog):
    """Its consumer waits a little for messages, as Kafka's does."""

    def follow(
        self, topics: object, *, from_start: bool, poll_seconds: float = 0.2
    ) -> Iterator[Message | None]:
        for message in MemoryLog.follow(self, topics, from_start=from_start):  # type: ignore[arg-type]
            if message is None:
                threading.Event().wait(0.02)
            yield message


def test_without_a_daemon_the_page_says_that_no_reply_came(tmp_path: Path) -> None:
    log = copied()
    quiet = PausingLog(clock=log.clock, _partitions=log._partitions, _topics=log._topics)
    shown = console(quiet, tmp_path)
    hasty = browser(with_timeout(shown, 0.2))
    status, text = send(hasty)
    assert status == 202
    assert "the daemon has not replied yet" in text
    assert len(commands(log)) == 1


def with_timeout(shown: Console, seconds: float) -> Console:
    from dataclasses import replace as replaced

    return replaced(shown, reply_seconds=seconds)


def test_without_a_log_nothing_is_decided(tmp_path: Path) -> None:
    from dataclasses import replace as replaced

    @contextmanager
    def no_log() -> Iterator[RecordLog]:
        raise UnavailableError("Kafka at k:9092 did not respond.")
        yield MemoryLog()

    pages = browser(replaced(console(copied(), tmp_path), open_log=no_log))
    status, text = send(pages)
    assert status == 503
    assert "Nothing was decided: Kafka at k:9092 did not respond." in text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site", "origin": "http://evil.example"},
        {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "none"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "same-origin", "host": "evil.example:8580"},
    ],
)
def test_a_form_from_elsewhere_decides_nothing(tmp_path: Path, headers: dict[str, str]) -> None:
    log = answering(copied())
    form = {"answer": "approve", "digest": waiting().digest, "reason": "x"}
    response = browser(console(log, tmp_path)).post(
        f"/approvals/{waiting().record_id}", data=form, headers=headers
    )
    assert response.status_code in (403, 421)
    assert commands(log) == []


def test_a_form_that_is_too_long_or_makes_no_sense_is_refused(tmp_path: Path) -> None:
    log = answering(copied())
    pages = browser(console(log, tmp_path))
    assert send(pages, answer="perhaps")[0] == 422
    assert send(pages, reason="x" * 2001)[0] == 422
    assert send(pages, reason="x" * 70_000)[0] == 413
    assert commands(log) == []


def test_the_real_daemon_takes_the_decision_and_the_version_goes_live(tmp_path: Path) -> None:
    loop = scenario.awaiting_approval(tmp_path / "loop")
    request = scenario.open_request(loop)
    assert request is not None
    shown = console_on(loop.log, tmp_path / "console", now=loop.clock.now())
    stopped = threading.Event()

    def run_daemon() -> None:
        while not stopped.is_set():
            loop.second()

    daemon = threading.Thread(target=run_daemon)
    daemon.start()
    try:
        response = browser(shown).post(
            f"/approvals/{request.record_id}",
            data={"answer": "approve", "digest": request.digest, "reason": "Looks right"},
            headers=FORM_HEADERS,
        )
    finally:
        stopped.set()
        daemon.join()
    assert response.status_code == 303
    outcome = next(
        entry for entry in loop.records(ApprovalOutcome) if entry.request_id == request.record_id
    )
    assert (outcome.outcome, outcome.approved_by) == ("approved", ("ann",))
