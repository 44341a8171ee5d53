"""The operations that read: models, records, approvals, commands, and the stream of changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, get_args

import msgspec
from fastapi import APIRouter, Header, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from deploy.console import approval_pages, further_pages
from deploy.console.api import schemas
from deploy.console.context import Console
from deploy.console.gate import identity_of, still_signed_in
from deploy.console.overview import overview
from deploy.console.problems import responses
from deploy.projection.rows import kind_of
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import AnyRecord, Command, CommandReply

KIND_TYPES: dict[str, type[AnyRecord]] = {kind_of(kind): kind for kind in get_args(AnyRecord)}
Id = Annotated[str, Path(min_length=1, max_length=200)]
Model = Annotated[str, Path(min_length=1, max_length=200)]


def seen(console: Console, request: Request) -> Console:
    """The console as the person who asks may see it."""
    return console.seen_by(identity_of(request))


def checked_model(console: Console, model: str) -> str:
    """The name of a model that the person may see; raises `NotFoundError`."""
    if model not in console.models:
        raise NotFoundError(f"There is no model {model}.")
    return model


def add_reading(router: APIRouter, console: Console) -> None:
    """Add the operations."""

    @router.get("/me", responses=responses())
    def me(request: Request) -> schemas.Me:
        """Who you are, and your roles."""
        identity = identity_of(request)
        roles = {name: identity.role(name) for name in console.settings.models}
        held = {name: role for name, role in roles.items() if role is not None}
        return schemas.Me(person=identity.person, how=identity.how, roles=held)

    @router.get("/models", responses=responses())
    def models(request: Request) -> schemas.ModelList:
        """What is live, what is wrong, and what needs a person."""
        mine = seen(console, request)
        page = overview(mine)
        items = [_model_state(mine, summary) for summary in page.models]
        tasks = [
            schemas.Task(
                model=task.model, text=task.text, link=task.link, command=task.command, due=task.due
            )
            for task in page.tasks
        ]
        return schemas.ModelList(items=items, tasks=tasks)

    @router.get("/models/{model}/records", responses=responses())
    def records(
        request: Request,
        model: Model,
        kind: schemas.Kind,
        before: Annotated[float, Query(ge=0, le=1e11)] = 1e11,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> schemas.RecordList:
        """The records of a kind, newest first."""
        checked_model(seen(console, request), model)
        rows = console.reader.before(KIND_TYPES[kind], model, before, limit)
        following = rows[-1].at if len(rows) == limit else None
        items = [schemas.RecordSummary.of(row) for row in rows]
        return schemas.RecordList(items=items, next=following)

    @router.get("/records/{record_id}", responses=responses())
    def record(request: Request, record_id: Id) -> schemas.RecordDetail:
        """A record with its causes and effects."""
        page = further_pages.record_page(seen(console, request), record_id)
        return schemas.RecordDetail(
            summary=schemas.RecordSummary.of(page.row),
            causes=[schemas.RecordSummary.of(step.row) for step in page.causes],
            effects=[schemas.RecordSummary.of(step.row) for step in page.effects],
            record=json.loads(page.content) if page.content else None,
            problem=page.problem,
        )

    @router.get("/commands/{command_id}", responses=responses())
    def command(request: Request, command_id: Id) -> schemas.CommandDetail:
        """A command and its reply."""
        return command_detail(seen(console, request), command_id)

    _add_approvals(router, console)
    _add_events(router, console)


def _model_state(console: Console, summary: Any) -> schemas.ModelState:
    live, rollout = summary.live, summary.rollout
    return schemas.ModelState(
        name=summary.name,
        state=summary.state.name,
        live_version=live.version if live else None,
        live_since=live.at if live else None,
        judgements=[
            schemas.Judgement(
                name=entry.name,
                state=entry.state.name,
                reason=entry.reason,
                record_id=entry.record_id,
            )
            for entry in summary.judgements
        ],
        rollout=schemas.RecordSummary.of(rollout) if rollout else None,
        waits_for=summary.waits_for,
        role=console.identity.role(summary.name) or "viewer",
    )


def command_detail(console: Console, command_id: str) -> schemas.CommandDetail:
    """A command and its reply; raises `NotFoundError`."""
    command = console.reader.record(command_id, Command)
    if command is None or not console.sees(command.model):
        raise NotFoundError(f"There is no command {command_id} on the log yet.")
    rows = console.reader.of_subject(CommandReply, command_id, 1)
    reply = next(iter(console.reader.full(rows, CommandReply)), None)
    return schemas.CommandDetail(
        command_id=command_id,
        model=command.model,
        at=command.at,
        action=command.action,
        reason=command.reason,
        who=command.who,
        role=command.role,
        channel=command.channel,
        signed_by=command.key,
        accepted=None if reply is None else reply.accepted,
        reply="" if reply is None else reply.reason,
        result_id="" if reply is None else reply.result_id,
    )


def approval_detail(console: Console, request_id: str) -> schemas.ApprovalDetail:
    """An approval request as the person may see it; raises `NotFoundError`."""
    page = approval_pages.decision_page(console, request_id)
    approval = page.approval
    return schemas.ApprovalDetail(
        request=msgspec.to_builtins(approval.request),
        decisions=[msgspec.to_builtins(entry) for entry in approval.decisions],
        outcome=None if approval.outcome is None else msgspec.to_builtins(approval.outcome),
        state="overdue" if approval.outcome is None and page.overdue else approval.state,
        stale=page.stale,
        barrier=page.barrier,
    )


def etag(detail: schemas.ApprovalDetail) -> str:
    """The entity tag of an approval: another one as soon as anything of it is another."""
    text = detail.model_dump_json(exclude={"barrier"})
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _add_approvals(router: APIRouter, console: Console) -> None:
    @router.get("/approvals", responses=responses())
    def approvals(request: Request) -> schemas.ApprovalList:
        """What people were asked, what they said, and what is open."""
        mine = seen(console, request)
        opened, ended = approval_pages.approval_list(mine)
        items = [approval_detail(mine, entry.request.record_id) for entry in (*opened, *ended)]
        return schemas.ApprovalList(items=items)

    @router.get(
        "/approvals/{request_id}",
        responses=responses() | {304: {"description": "It is as the ETag says."}},
        response_model=schemas.ApprovalDetail,
    )
    def approval(
        request: Request,
        response: Response,
        request_id: Id,
        if_none_match: Annotated[str | None, Header(max_length=200)] = None,
    ) -> Any:
        """An approval request; a decision needs its ETag."""
        detail = approval_detail(seen(console, request), request_id)
        tag = etag(detail)
        if if_none_match == tag:
            return Response(status_code=304, headers={"etag": tag})
        response.headers["etag"] = tag
        return detail


def _add_events(router: APIRouter, console: Console) -> None:
    stream_type = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}

    @router.get(
        "/events",
        responses=responses() | {200: {"description": "Server-sent events", **stream_type}},
        response_class=StreamingResponse,
    )
    async def events(
        request: Request, model: Annotated[str, Query(max_length=200)] = ""
    ) -> StreamingResponse:
        """An event `changed` whenever records have come, of one model or of any."""
        mine = seen(console, request)
        if model:
            checked_model(mine, model)

        async def stream() -> AsyncIterator[str]:
            yield "retry: 2000\n\n"
            async for revision in console.live.revisions(model):
                if not await run_in_threadpool(still_signed_in, console.access, request):
                    return
                shown = json.dumps({"model": model, "revision": revision})
                event = f"event: changed\nid: {revision}\ndata: {shown}\n\n"
                yield ": idle\n\n" if revision is None else event

        return StreamingResponse(
            stream(), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )
