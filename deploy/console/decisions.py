"""Takes a decision from a form and sends the command of `driftline rollout approve | reject`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from deploy.console.approval_pages import DecisionPage, decision_page
from deploy.console.context import Console
from deploy.records.commands import new_command
from deploy.records.commands import send_command as append_and_wait
from streaming.contracts.errors import UnavailableError
from streaming.contracts.records import Action, Command, CommandReply

MAX_REASON = 2000
"""Longest reason, in characters."""
NOT_ALLOWED = "Not allowed: "
_CONFLICT = "Conflict: "


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of a decision."""

    status: int
    """HTTP status: 303 accepted, 202 sent without a reply yet, 403 somebody else must decide, 409
    it is not what is open now, 422 the form is incomplete, 503 the log cannot be reached."""
    message: str
    result_id: str = ""
    """Id of the record that an accepted command led to."""


NO_REPLY = Decided(
    202,
    "The decision is on the log, but the daemon has not replied yet; it counts once the daemon has "
    "taken it. Is the daemon running? `driftline status` shows it.",
)


def decide(
    console: Console,
    request_id: str,
    *,
    answer: str,
    reason: str,
    digest: str,
    send_command: Callable[[Console, Command], Decided] | None = None,
) -> Decided:
    """Check a form against what is open now, and send the command.

    Parameters
    ----------
    digest:
        Digest of what the form's page showed.
    send_command:
        Sends the command; None for `send`.

    Raises
    ------
    NotFoundError
        When there is no such request.
    """
    page = decision_page(console, request_id)
    refused = _refusal(page, answer=answer, reason=reason, digest=digest)
    if refused is not None:
        return refused
    request = page.approval.request
    action: Action = "approve" if answer == "approve" else "reject"
    command = new_command(
        request.model,
        action,
        reason.strip() or "by hand",
        at=console.now(),
        version=request.version,
        subject=request.record_id,
        digest=digest,
        who=console.who,
    )
    return (send_command or send)(console, command)


def _refusal(page: DecisionPage, *, answer: str, reason: str, digest: str) -> Decided | None:
    """Why the form is not sent; None when it is."""
    approval = page.approval
    if answer not in ("approve", "reject"):
        return Decided(422, "Choose yes or no.")
    if approval.outcome is not None:
        ended = approval.outcome
        return Decided(409, f"The request has ended ({ended.outcome}): {ended.reason}")
    if page.stale:
        return Decided(409, page.stale)
    if digest != approval.request.digest:
        text = "What the page showed is not what people are asked about now. Read it anew below."
        return Decided(409, text)
    if page.overdue:
        return Decided(409, f"The deadline has passed: {approval.request.on_deadline}")
    barrier = page.barrier if answer == "approve" else page.barrier_to_no
    if barrier:
        return Decided(403 if barrier.startswith(NOT_ALLOWED) else 409, _sentence(barrier))
    if answer == "reject" and not reason.strip():
        return Decided(422, "A no needs a reason; it is kept with the decision.")
    if len(reason) > MAX_REASON:
        return Decided(422, f"A reason has at most {MAX_REASON} characters.")
    return None


def send(console: Console, command: Command) -> Decided:
    """Send a command in the name of the person, with role and channel, and wait for the reply."""
    command = replace(
        command,
        who=console.who,
        role=console.identity.role(command.model) or "",
        channel=console.identity.channel,
    )
    try:
        with console.open_log() as log:
            reply = append_and_wait(log, command, timeout=console.reply_seconds)
    except TimeoutError:
        return NO_REPLY
    except UnavailableError as error:
        return Decided(503, f"Nothing was decided: {error}")
    return decided_by(reply)


def decided_by(reply: CommandReply) -> Decided:
    """What the daemon's reply comes to."""
    if reply.accepted:
        return Decided(303, reply.reason, reply.result_id)
    return Decided(403 if reply.reason.startswith(NOT_ALLOWED) else 409, _sentence(reply.reason))


def _sentence(reason: str) -> str:
    return reason.removeprefix(NOT_ALLOWED).removeprefix(_CONFLICT)
