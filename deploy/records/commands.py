"""Puts a command on the log and waits for its answer: what every person's request goes through."""

from __future__ import annotations

import getpass
import itertools
import os
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from streaming.contracts import topics
from streaming.contracts.codec import record_in
from streaming.contracts.errors import UnavailableError
from streaming.contracts.ids import record_id
from streaming.contracts.log import RecordLog
from streaming.contracts.records import (
    Action,
    AnyRecord,
    Command,
    CommandReply,
    ModelVersion,
    Record,
    RetrainFailure,
    RetrainProgress,
)

R = TypeVar("R", bound=Record)

_NONCE = itertools.count()


def command(
    model: str,
    action: Action,
    reason: str,
    *,
    at: float,
    version: int = 0,
    digest: str = "",
    subject: str = "",
    window_start: float | None = None,
    window_end: float | None = None,
    who: str = "",
) -> Command:
    """A command in the name of `who`, or of whoever runs this process."""
    who = who or os.environ.get("USER") or getpass.getuser()
    return Command(
        record_id=record_id("command", model, action, who, at, os.getpid(), next(_NONCE)),
        model=model,
        at=at,
        action=action,
        reason=reason,
        who=who,
        version=version,
        digest=digest,
        subject=subject,
        window_start=window_start,
        window_end=window_end,
    )


def ask(log: RecordLog, wanted: Command, *, timeout: float) -> CommandReply:
    """Send the command and wait for the daemon's answer.

    Raises
    ------
    UnavailableError
        When nobody answers in time.
    """
    follow = _records(log, topics.COMMAND_REPLIES.name, deadline=time.time() + timeout)
    next(follow)  # positioned before the command is sent, so the answer cannot be missed
    log.append([wanted])
    for record in follow:
        if isinstance(record, CommandReply) and record.to == wanted.record_id:
            return record
    raise UnavailableError(
        f"Nobody answered within {timeout:.0f} s; is the daemon up? `driftline status` tells."
    )


def outcome(
    log: RecordLog, answer: CommandReply, *, deadline: float, say: Callable[[str], None]
) -> ModelVersion | RetrainFailure:
    """Wait for the version or the failure of the request that an answer named.

    Raises
    ------
    TimeoutError
        When neither came by `deadline`.
    """
    names = [
        topic.name
        for topic in (topics.MODEL_VERSIONS, topics.RETRAIN_FAILURES, topics.RETRAIN_PROGRESS)
    ]
    for record in _records(log, *names, deadline=deadline, from_start=True):
        match record:
            case RetrainProgress(request_id=answer.result_id, state="done"):
                say(f"[{record.step}/{record.steps}] {record.component} {record.seconds:.1f} s")
            case ModelVersion(request_id=answer.result_id):
                return record
            case RetrainFailure(request_id=answer.result_id):
                return record
    raise TimeoutError(f"Request {answer.result_id} gave no version in time; it goes on.")


def _records(
    log: RecordLog, *names: str, deadline: float, from_start: bool = False
) -> Iterator[AnyRecord | None]:
    """Records as they come; None while there is nothing; ends at the deadline."""
    for message in log.follow(names, from_start=from_start):
        if message is None:
            yield None
        elif record := record_in(message.value):
            yield record
        if time.time() > deadline:
            return
