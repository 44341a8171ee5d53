"""The audit: who gave which command, when, why, over which digest, and what the answer was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import get_args
from urllib.parse import urlencode

from deploy.console.context import Console
from deploy.console.states import State, state_of
from deploy.projection.reader import CommandFilter, Stored
from streaming.contracts.records import (
    Action,
    ApprovalOutcome,
    ApprovalRequest,
    Command,
    CommandReply,
)

PAGE = 50
"""Commands on a page."""
LAST_PAGE = 10_000
ACTIONS: tuple[str, ...] = get_args(Action)
ANSWERS = ("accepted", "refused", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuestion:
    """What is asked for, as the form has it; an empty text asks for all."""

    model: str = ""
    person: str = ""
    action: str = ""
    answer: str = ""
    since: str = ""
    """First day, ``YYYY-MM-DD`` in UTC."""
    until: str = ""
    """Last day."""
    page: int = 1

    @property
    def narrowed(self) -> bool:
        """Whether anything is left out."""
        return any((self.model, self.person, self.action, self.answer, self.since, self.until))

    def address(self, page: int) -> str:
        """Address of another page of the same question."""
        fields = {
            name: value
            for name in ("model", "person", "action", "answer", "since", "until")
            if (value := getattr(self, name))
        }
        return f"/audit?{urlencode(fields | {'page': page})}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """One command and its answer."""

    row: Stored
    command: Command | None
    """None when the projection does not keep it; the row still says who and what."""
    state: State
    answer: str
    """The answer in the daemon's words."""
    answered_at: float | None
    reply_id: str
    ended: str
    """How the approval ended that it decided on; empty for other commands."""
    link: str
    """Page of what it is about; empty where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """The commands that were asked for."""

    question: AuditQuestion
    problem: str
    """Why the question cannot be answered; empty when it can."""
    lines: tuple[AuditLine, ...]
    people: tuple[str, ...]
    """Everybody who gave a command, for the form."""
    older: str
    """Address of the next page; empty on the last one."""
    newer: str
    actions: tuple[str, ...] = ACTIONS
    answers: tuple[str, ...] = ANSWERS


def audit_page(console: Console, question: AuditQuestion) -> AuditPage:
    """Gather the audit."""
    models = console.models
    people = tuple(console.reader.people(models))
    try:
        chosen = _filter(question, models)
    except ValueError as error:
        return AuditPage(
            question=question, problem=str(error), lines=(), people=people, older="", newer=""
        )
    skip = (question.page - 1) * PAGE
    rows = console.reader.commands(chosen, count=PAGE + 1, skip=skip)
    return AuditPage(
        question=question,
        problem="",
        lines=tuple(_line(console, row) for row in rows[:PAGE]),
        people=people,
        older=question.address(question.page + 1) if len(rows) > PAGE else "",
        newer=question.address(question.page - 1) if question.page > 1 else "",
    )


def _filter(question: AuditQuestion, models: tuple[str, ...]) -> CommandFilter:
    """The question as the projection takes it; raises `ValueError`."""
    if question.model and question.model not in models:
        raise ValueError(f"There is no model {question.model}.")
    if question.action not in ("", *ACTIONS):
        raise ValueError(f"There is no command {question.action}.")
    if question.answer not in ("", *ANSWERS):
        raise ValueError(f"There is no answer {question.answer}.")
    chosen = CommandFilter(
        models=(question.model,) if question.model else models,
        person=question.person,
        action=question.action,
        answer=question.answer,
        since=day(question.since) if question.since else 0.0,
    )
    if not question.until:
        return chosen
    end = datetime.fromtimestamp(day(question.until), UTC) + timedelta(days=1)
    return CommandFilter(
        models=chosen.models,
        person=chosen.person,
        action=chosen.action,
        answer=chosen.answer,
        since=chosen.since,
        before=end.timestamp(),
    )


def day(text: str) -> float:
    """Begin of a day in UTC, seconds since 1970.

    >>> day("1970-01-02")
    86400.0
    """
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise ValueError(f"{text} is no day; write it as 2026-11-30.") from error


def _line(console: Console, row: Stored) -> AuditLine:
    reader = console.reader
    command = reader.record(row.record_id, Command)
    replies = reader.full(reader.of_subject(CommandReply, row.record_id, 1), CommandReply)
    reply = replies[0] if replies else None
    return AuditLine(
        row=row,
        command=command,
        state=state_of("waiting" if reply is None else "accepted" if reply.accepted else "refused"),
        answer="No answer was recorded. Is the daemon running? `driftline status` shows it."
        if reply is None
        else reply.reason,
        answered_at=None if reply is None else reply.at,
        reply_id="" if reply is None else reply.record_id,
        ended=_ended(console, command),
        link=_link(console, command),
    )


def _ended(console: Console, command: Command | None) -> str:
    if command is None or command.action not in ("approve", "reject"):
        return ""
    outcomes = console.reader.of_subject(ApprovalOutcome, command.subject, 1)
    return outcomes[0].outcome if outcomes else ""


def _link(console: Console, command: Command | None) -> str:
    """Page of the approval request that it decided on, where the projection has it."""
    if command is None or not command.subject:
        return ""
    known = console.reader.record(command.subject, ApprovalRequest)
    return "" if known is None else f"/approvals/{known.record_id}"
