"""Acts once for each key of a person, whether the request comes from the API or from a form."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from msgspec.structs import replace

from deploy.access.repeated_requests import Answered
from deploy.console import decisions
from deploy.console.api import schemas
from deploy.console.context import Console
from deploy.console.decisions import Decided
from deploy.console.problems import problem
from streaming.contracts.ids import record_id
from streaming.contracts.records import Command, CommandReply


def send(console: Console, command: Command, command_id: str) -> Decided:
    """Send a command under the id of its request, and wait for the reply."""
    return decisions.send(console, replace(command, record_id=command_id))


def answered_once(
    console: Console, key: str, text: str, model: str, act: Callable[[str], Decided]
) -> tuple[Answered, bool]:
    """The answer of a request, as JSON, and whether it had been given before.

    The command's id is made of person, key and content. So a request that was interrupted after its
    command was sent gives the same command again, which the daemon carries out once.

    Parameters
    ----------
    text:
        What is requested, in full; the same key with another text is refused.
    act:
        Carries the request out, under the id that its command gets.

    Raises
    ------
    Conflict
        When the key was used for something else, or the same request is running.
    """
    repeated, who = console.access.repeated, console.who
    content = hashlib.sha256(text.encode()).hexdigest()
    command_id = record_id("command", model, "request", who, key, content)
    known = repeated.begin(who, key, content, now=console.now())
    if known is not None and known.status != 202:
        return known, True
    try:
        result = _later(console, command_id)
        if result is decisions.NO_REPLY and known is None:
            result = act(command_id)
    except BaseException:
        repeated.forget(who, key)
        raise
    answer = _answer(result, command_id)
    if result.status in (422, 503):
        repeated.forget(who, key)
    else:
        repeated.end(who, key, content, answer, now=console.now())
    return answer, known is not None


def _later(console: Console, command_id: str) -> Decided:
    """What became of a command that had no reply at first."""
    rows = console.reader.of_subject(CommandReply, command_id, 1)
    reply = next(iter(console.reader.full(rows, CommandReply)), None)
    return decisions.NO_REPLY if reply is None else decisions.decided_by(reply)


def _answer(result: Decided, command_id: str) -> Answered:
    if result.status not in (202, 303):
        response = problem(result.status, result.message)
        return Answered(result.status, bytes(response.body).decode())
    content = schemas.CommandResult(
        command_id=command_id,
        state="sent" if result.status == 202 else "accepted",
        reason=result.message,
        result_id=result.result_id,
    )
    return Answered(202 if result.status == 202 else 200, content.model_dump_json())
