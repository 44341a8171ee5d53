"""A command and its reply: matched by id, and an error that names the daemon."""

from __future__ import annotations

import getpass
import threading
import time
from collections.abc import Iterator

import pytest

from deploy.records import commands
from streaming.contracts import topics
from streaming.contracts.codec import decode_as
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Command, CommandReply, RetrainFailure


def reply(command_id: str, *, accepted: bool, reason: str, result_id: str = "") -> CommandReply:
    return CommandReply(
        record_id=f"reply-{command_id}",
        model="m",
        at=6.0,
        command_id=command_id,
        accepted=accepted,
        reason=reason,
        result_id=result_id,
    )


@pytest.fixture
def log() -> MemoryLog:
    empty = MemoryLog()
    empty.ensure(topics.RECORD_TOPICS)
    return empty


@pytest.fixture
def daemon(log: MemoryLog) -> Iterator[None]:
    """Replies to another command first, then refuses the one that was sent."""

    def serve() -> None:
        for message in log.follow([topics.COMMANDS.name], from_start=True):
            if message is None or message.value is None:
                time.sleep(0.01)
                continue
            command = decode_as(message.value, Command)
            log.append(
                [
                    reply("other", accepted=True, reason=""),
                    reply(command.record_id, accepted=False, reason="no"),
                ]
            )
            return

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    thread.join()


def test_a_command_gets_its_own_reply(log: MemoryLog, daemon: None) -> None:
    command = commands.new_command("m", "retrain", "because", at=5.0)
    answered = commands.send_command(log, command, timeout=10)
    assert (answered.accepted, answered.reason) == (False, "no")


def test_no_reply_is_an_error_that_names_the_daemon(log: MemoryLog) -> None:
    command = commands.new_command("m", "pause", "x", at=1.0)
    with pytest.raises(TimeoutError, match="daemon"):
        commands.send_command(log, command, timeout=0.05)


@pytest.mark.parametrize("clock", [0.0, -1e9, 4e9])
def test_waits_do_not_depend_on_the_systems_clock(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch, clock: float
) -> None:
    times = iter([1e9])
    monkeypatch.setattr(time, "time", lambda: next(times, clock))
    command = commands.new_command("m", "pause", "x", at=1.0)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="daemon"):
        commands.send_command(log, command, timeout=0.1)
    accepted = reply("c", accepted=True, reason="", result_id="mine")
    with pytest.raises(TimeoutError, match="mine"):
        commands.await_retrain(log, accepted, deadline=time.monotonic() + 0.1, say=print)
    assert 0.2 <= time.monotonic() - began < 5.0


def test_the_failure_of_the_own_request_ends_the_wait(log: MemoryLog) -> None:
    for request in ("other", "mine"):
        failure = RetrainFailure(
            record_id=f"failure-{request}",
            model="m",
            at=7.0,
            request_id=request,
            component="Trainer",
            reason="no memory",
            advice="Free some.",
        )
        log.append([failure])
    accepted = reply("c", accepted=True, reason="", result_id="mine")
    result = commands.await_retrain(log, accepted, deadline=time.monotonic() + 10, say=print)
    assert result.request_id == "mine"


def test_a_wait_without_a_version_times_out(log: MemoryLog) -> None:
    accepted = reply("c", accepted=True, reason="", result_id="mine")
    with pytest.raises(TimeoutError, match="mine"):
        commands.await_retrain(log, accepted, deadline=time.monotonic(), say=print)


def test_a_user_without_a_name_has_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.delenv("USER", raising=False)
    monkeypatch.setattr(getpass, "getuser", nameless)
    assert commands.new_command("m", "pause", "x", at=1.0).who.startswith("uid-")
