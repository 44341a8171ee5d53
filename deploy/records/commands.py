"""Sends a person's command to the daemon and waits for its reply."""

from __future__ import annotations

import getpass
import itertools
import os
import time
from collections.abc import Callable, Iterator

from streaming.contracts import topics
from streaming.contracts.codec import record_in
from streaming.contracts.ids import record_id
from streaming.contracts.log import RecordLog
from streaming.contracts.records import (
    Action,
    AnyRecord,
    Command,
    CommandReply,
    ModelVersion,
    RetrainFailure,
    RetrainProgress,
)

REPLY_SECONDS = 60.0
"""How long a command waits for the daemon's reply."""
_NONCE = itertools.count()


def new_command(
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
    force: bool = False,
    who: str = "",
) -> Command:
    """A command in the name of `who`, or of the user who runs this process."""
    who = who or current_user()
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
        force=force,
    )


def current_user() -> str:
    """Name of the user who runs this process; containers often have an id without a name."""
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def send_command(log: RecordLog, command: Command, *, timeout: float) -> CommandReply:
    """Send the command and wait for the daemon's reply.

    Raises
    ------
    TimeoutError
        When no reply comes in time.
    """
    follow = _records(log, topics.COMMAND_REPLIES.name, deadline=time.monotonic() + timeout)
    next(follow, None)  # positioned before the command is sent, so the reply cannot be missed
    log.append([command])
    for record in follow:
        if isinstance(record, CommandReply) and record.command_id == command.record_id:
            return record
    raise TimeoutError(
        f"No reply within {timeout:.0f} s: is the daemon running? `driftline status` shows it."
    )


def await_retrain(
    log: RecordLog, reply: CommandReply, *, deadline: float, say: Callable[[str], None]
) -> ModelVersion | RetrainFailure:
    """Wait for the version or the failure of the request that a reply names.

    Parameters
    ----------
    deadline:
        A reading of `time.monotonic`, which a change of the system's clock does not move.
    say:
        Prints each finished component.

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
            case RetrainProgress(request_id=reply.result_id, state="done"):
                say(f"[{record.step}/{record.steps}] {record.component} {record.seconds:.1f} s")
            case ModelVersion(request_id=reply.result_id):
                return record
            case RetrainFailure(request_id=reply.result_id):
                return record
    raise TimeoutError(
        f"Request {reply.result_id} gave no version in time; the retrain continues and "
        "`driftline versions MODEL` will list its version."
    )


def _records(
    log: RecordLog, *names: str, deadline: float, from_start: bool = False
) -> Iterator[AnyRecord | None]:
    """Records as they come; None while there is nothing; ends at the deadline."""
    for message in log.follow(names, from_start=from_start):
        if message is None:
            yield None
        elif record := record_in(message.value):
            yield record
        if time.monotonic() > deadline:
            return
