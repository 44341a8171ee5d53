"""Makes the reply to a command; every state machine that answers commands uses it."""

from __future__ import annotations

from datetime import UTC, datetime

from streaming.contracts.ids import record_id
from streaming.contracts.records import Command, CommandReply

COMMAND_SECONDS = 3600.0
"""A command is carried out within this time of being given, and refused afterwards: it was meant
for what a person saw then. One that is read again after a loss of the daemon's place in the topic
is thus never carried out twice."""


def command_reply(
    command_id: str,
    *,
    model: str,
    accepted: bool,
    reason: str,
    now: float,
    result_id: str = "",
    code: str | None = None,
) -> CommandReply:
    """The reply to the command, or other cause, with the id `command_id`.

    Parameters
    ----------
    result_id:
        Id of the record that the command led to; empty for none.
    code:
        Distinguishes several replies to the same cause; None where there is only one.

    >>> reply = command_reply("c1", model="m", accepted=True, reason="Done.", now=1.0)
    >>> reply.command_id, reply.caused_by
    ('c1', ('c1',))
    """
    key = (command_id,) if code is None else (command_id, code)
    return CommandReply(
        record_id=record_id("command-reply", model, *key),
        model=model,
        at=now,
        caused_by=(command_id,),
        command_id=command_id,
        accepted=accepted,
        reason=reason,
        result_id=result_id,
    )


def out_of_date(command: Command, now: float) -> str:
    """Why a command is refused for its time; empty if it is not.

    A time that lies as far ahead is refused too: the sender's clock is wrong, so the command's age
    cannot be known.

    >>> from streaming.contracts.records import Command
    >>> command = Command(record_id="c", model="m", at=0.0, action="abort", reason="", who="ann")
    >>> out_of_date(command, 10.0)
    ''
    >>> out_of_date(command, 86_400.0)
    'Out of date: given at 1970-01-01 00:00:00 UTC, and carried out within 60 min only. Send it \
again if it is still meant.'
    """
    minutes = COMMAND_SECONDS / 60.0
    if now - command.at > COMMAND_SECONDS:
        return (
            f"Out of date: given at {_utc(command.at)}, and carried out within {minutes:.0f} min "
            "only. Send it again if it is still meant."
        )
    if command.at - now > COMMAND_SECONDS:
        return (
            f"Out of date: its time, {_utc(command.at)}, is more than {minutes:.0f} min ahead of "
            f"the daemon's clock. Set the sender's clock and send it again."
        )
    return ""


def _utc(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f} s since 1970"
