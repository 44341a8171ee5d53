"""Routes of the pages on runs, schedules, experiments and people's commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, Header, Query
from fastapi.responses import HTMLResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from deploy.console.audit_page import LAST_PAGE, AuditQuestion, audit_page
from deploy.console.context import Console
from deploy.console.experiment_page import experiment_page
from deploy.console.gate import identity_of
from deploy.console.pictures import digest_of
from deploy.console.run_pages import compare_page, drawn_curves, run_list, run_page
from deploy.console.schedule_page import schedule_page
from deploy.views.theme import VARIANTS
from streaming.contracts.errors import NotFoundError

Render = Callable[..., HTMLResponse]
Text = Annotated[str, Query(max_length=200)]
RunIds = Annotated[list[str], Query(max_length=20)]


def add_run_pages(app: FastAPI, console: Console, render: Render) -> None:
    """The list of runs, their comparison, their curves and one run."""

    @app.get("/runs")
    def runs(request: Request, model: Text = "") -> HTMLResponse:
        seen = console.seen_by(identity_of(request))
        return render("runs", console=seen, page=run_list(seen, model), watched=model)

    @app.get("/runs/compare")
    def compared(request: Request, run: RunIds = []) -> HTMLResponse:  # noqa: B006
        seen = console.seen_by(identity_of(request))
        try:
            page = compare_page(seen, run)
        except ValueError as error:
            return render("runs", status=422, console=seen, page=run_list(seen, "", str(error)))
        return render("compare", console=seen, page=page)

    @app.get("/runs/curves.svg")
    async def curves(
        request: Request,
        run: RunIds = [],  # noqa: B006
        variant: str = "",
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        if variant not in VARIANTS:
            raise NotFoundError(f"Pictures have no variant {variant}.")
        seen = console.seen_by(identity_of(request))
        shown = await run_in_threadpool(drawn_curves, seen, run)
        etag = f'"{digest_of(shown)}{variant}"'
        headers = {"etag": etag, "cache-control": "private, no-cache"}
        if if_none_match == etag:
            return Response(status_code=304, headers=headers)
        content = await console.pictures.curves(shown, variant)
        return Response(content, media_type="image/svg+xml", headers=headers)

    @app.get("/runs/{run_id}")
    def run_of_request(request: Request, run_id: str) -> HTMLResponse:
        seen = console.seen_by(identity_of(request))
        page = run_page(seen, run_id)
        return render("run", console=seen, page=page, watched=page.run.model)


def add_operation_pages(app: FastAPI, console: Console, render: Render) -> None:
    """Schedules, experiments and audit."""

    @app.get("/schedules")
    def schedules(request: Request) -> HTMLResponse:
        seen = console.seen_by(identity_of(request))
        return render("schedules", console=seen, page=schedule_page(seen))

    @app.get("/models/{name}/experiments")
    def experiments(request: Request, name: str, experiment: Text = "") -> HTMLResponse:
        seen = console.seen_by(identity_of(request))
        page = experiment_page(seen, name, experiment)
        return render("experiments", console=seen, page=page, watched=name)

    @app.get("/audit")
    def audit(
        request: Request,
        model: Text = "",
        person: Text = "",
        action: Text = "",
        answer: Text = "",
        since: Text = "",
        until: Text = "",
        page: Annotated[int, Query(ge=1, le=LAST_PAGE)] = 1,
    ) -> HTMLResponse:
        seen = console.seen_by(identity_of(request))
        question = AuditQuestion(
            model=model,
            person=person,
            action=action,
            answer=answer,
            since=since,
            until=until,
            page=page,
        )
        shown = audit_page(seen, question)
        status = 422 if shown.problem else 200
        return render("audit", status=status, console=seen, page=shown, watched=model)
