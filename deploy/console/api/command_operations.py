"""The operations that act: a command to a model, and a decision on an approval.

Each needs an Idempotency-Key: the same request sent again, for example after a lost connection,
gives the same command and the same answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response
from msgspec.structs import replace

from deploy.console import decisions
from deploy.console.api import schemas
from deploy.console.api.once import answered_once, send
from deploy.console.api.read_operations import Id, Model, approval_detail, checked_model, etag, seen
from deploy.console.approval_pages import decision_page
from deploy.console.context import Console
from deploy.console.decisions import Decided
from deploy.console.problems import MEDIA_TYPE, ProblemError, responses
from deploy.records.commands import new_command
from streaming.contracts.records import Command

Key = Annotated[
    str, Header(alias="Idempotency-Key", min_length=8, max_length=100, pattern=r"^[\x21-\x7e]+$")
]
NAMED = ("promote", "retry", "accept-schema", "reject-schema")
"""Commands that must say what was reviewed."""
SENT: dict[int | str, dict[str, Any]] = {
    202: {"model": schemas.CommandResult, "description": "Sent; the daemon has not replied."}
}


def add_commands(router: APIRouter, console: Console) -> None:
    """Add the operations."""

    @router.post(
        "/models/{model}/commands",
        responses=responses(409) | SENT,
        response_model=schemas.CommandResult,
    )
    def command(
        request: Request, model: Model, content: schemas.CommandInput, idempotency_key: Key
    ) -> Response:
        """Give a command; it becomes a record with your name, role, and the time."""
        mine = seen(console, request)
        checked_model(mine, model)
        barrier = mine.identity.barrier(model, content.action, force=content.force)
        if barrier:
            raise ProblemError(403, barrier)
        _check_content(content)
        text = f"{model}\n{content.model_dump_json()}"

        def act(command_id: str) -> Decided:
            given = new_command(
                model,
                content.action,
                content.reason.strip(),
                at=mine.now(),
                version=content.version,
                digest=content.digest,
                subject=content.subject,
                force=content.force,
                window_start=content.window_start,
                window_end=content.window_end,
                who=mine.who,
            )
            return send(mine, given, command_id)

        return once(mine, idempotency_key, text, model, act)

    _add_decisions(router, console)


def _add_decisions(router: APIRouter, console: Console) -> None:
    @router.post(
        "/approvals/{request_id}/decisions",
        responses=responses(409, 412, 428) | SENT,
        response_model=schemas.CommandResult,
    )
    def decision(
        request: Request,
        request_id: Id,
        content: schemas.Decision,
        idempotency_key: Key,
        if_match: Annotated[
            str | None,
            Header(max_length=200, description="The ETag of what was read; without it 428."),
        ] = None,
    ) -> Response:
        """Say yes or no to what the ETag of the approval stands for."""
        mine = seen(console, request)
        model = decision_page(mine, request_id).approval.request.model
        check_reason(content.reason)
        text = f"{request_id}\n{if_match}\n{content.model_dump_json()}"

        def act(command_id: str) -> Decided:
            digest = _reviewed(mine, request_id, content, if_match)

            def forced(sender: Console, given: Command) -> Decided:
                return send(sender, replace(given, force=content.force), command_id)

            return decisions.decide(
                mine,
                request_id,
                answer=content.answer,
                reason=content.reason,
                digest=digest,
                send_command=forced,
            )

        return once(mine, idempotency_key, text, model, act)


def check_reason(reason: str) -> None:
    """Refuse a blank reason."""
    if not reason.strip():
        raise ProblemError(409, "The reason is blank; it is kept, so say why.")


def _check_content(content: schemas.CommandInput) -> None:
    """Refuse a command that does not say why, or what was reviewed."""
    check_reason(content.reason)
    if content.action in NAMED and not content.digest:
        raise ProblemError(
            409, f"{content.action} needs the digest of what was reviewed; read it and send it."
        )
    if content.action in ("promote", "retry") and not content.version:
        raise ProblemError(409, f"{content.action} needs the version.")


def _reviewed(
    console: Console, request_id: str, content: schemas.Decision, if_match: str | None
) -> str:
    """The digest of what the person has read.

    Raises
    ------
    ProblemError
        When the request does not say what was read, or that has changed, or may not be forced.
    """
    detail = approval_detail(console, request_id)
    if if_match is None:
        raise ProblemError(428, "A decision needs If-Match with the ETag of the approval.")
    if if_match != etag(detail):
        raise ProblemError(412, "The approval has changed since it was read; read it again.")
    if content.force:
        barrier = console.identity.barrier(detail.request["model"], content.answer, force=True)
        if barrier:
            raise ProblemError(403, barrier)
        if content.answer == "reject":
            raise ProblemError(409, "force is for a yes.")
    return str(detail.request["digest"])


def once(
    console: Console, key: str, text: str, model: str, act: Callable[[str], Decided]
) -> Response:
    """Act once for each key (`answered_once`); a repeated request has the same answer."""
    answer, repeated = answered_once(console, key, text, model, act)
    headers: dict[str, Any] = {"idempotency-replayed": "true"} if repeated else {}
    media_type = MEDIA_TYPE if answer.status >= 400 else JSONResponse.media_type
    return Response(answer.body, answer.status, headers=headers, media_type=media_type)
