"""Makes the reply to a command; every state machine that answers commands uses it."""

from __future__ import annotations

from streaming.contracts.ids import record_id
from streaming.contracts.records import CommandReply


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
