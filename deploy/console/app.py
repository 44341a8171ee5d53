"""The console as a web application. Routes gather a page, render it, and nothing else.

Each route works on the console as the person who asks may see it.

Page routes are plain functions, which the framework runs in threads: SQLite's answers take
milliseconds. Pictures are drawn in a thread of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, Form, Header, Query
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.responses import StreamingResponse

from deploy.console import approval_pages, decisions, further_pages
from deploy.console.api.application import create_api
from deploy.console.assets_lock import FILES, FOLDER, MEDIA_TYPES
from deploy.console.command_forms import add_command_forms
from deploy.console.context import Console
from deploy.console.error_pages import add_error_pages
from deploy.console.gate import Gate, identity_of, still_signed_in
from deploy.console.model_page import model_page
from deploy.console.overview import overview
from deploy.console.picture_kinds import PictureKind
from deploy.console.pictures import newest_id
from deploy.console.run_routes import add_operation_pages, add_run_pages
from deploy.console.runbook import runbook_html
from deploy.console.security import MAX_BODY_BYTES, SecurityMiddleware
from deploy.console.sign_in import add_sign_in
from deploy.console.templating import environment
from deploy.views.theme import VARIANTS
from streaming.contracts.errors import NotFoundError

Render = Callable[..., HTMLResponse]
_FOR_EVER = "public, max-age=31536000, immutable"


def create_app(console: Console) -> FastAPI:
    """The application of a console."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        console.live.bind()
        yield
        console.pictures.close()

    app = FastAPI(
        title="Driftline", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.add_middleware(Gate, access=console.access)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=MAX_BODY_BYTES)
    app.add_middleware(SecurityMiddleware, transport=console.transport)
    render = _renderer(console)
    add_error_pages(app, console, render)
    _add_pages(app, console, render)
    add_run_pages(app, console, render)
    add_operation_pages(app, console, render)
    _add_approvals(app, console, render)
    add_command_forms(app, console, render)
    _add_files(app, console)
    add_sign_in(app, console, render)
    app.mount("/api/v1", create_api(console))
    return app


def _seen(console: Console, request: Request) -> Console:
    """The console as the person who sends the request may see it."""
    return console.seen_by(identity_of(request))


def _renderer(console: Console) -> Render:
    templates = environment()

    def render(name: str, *, status: int = 200, watched: str = "", **values: Any) -> HTMLResponse:
        """`watched` is the model whose records redraw the page; empty for all. `console` is the
        one of the request; without it nobody is known to have signed in.
        """
        seen: Console | None = values.pop("console", None)
        rows = [] if seen is None else seen.reader.open_requests()
        text = templates.get_template(f"{name}.html").render(
            console=seen,
            now=console.now(),
            watched=watched,
            waiting=sum(seen.sees(row.model) for row in rows) if seen is not None else 0,
            **values,
        )
        return HTMLResponse(text, status_code=status)

    return render


def _add_pages(app: FastAPI, console: Console, render: Render) -> None:
    @app.get("/")
    def first_page(request: Request) -> HTMLResponse:
        seen = _seen(console, request)
        return render("overview", console=seen, page=overview(seen))

    @app.get("/models/{name}")
    def model(
        request: Request,
        name: str,
        feature: Annotated[str, Query(max_length=200)] = "",
        span: Annotated[str, Query(max_length=20)] = "",
    ) -> HTMLResponse:
        seen = _seen(console, request)
        page = model_page(seen, name, feature, span)
        return render("model", console=seen, page=page, feature=feature, watched=name)

    @app.get("/records/{record_id}")
    def record(request: Request, record_id: str) -> HTMLResponse:
        seen = _seen(console, request)
        page = further_pages.record_page(seen, record_id)
        return render("record", console=seen, page=page, watched=page.row.model)

    @app.get("/dead-letters")
    def dead_letters(request: Request, model: str = "", reason: str = "") -> HTMLResponse:
        seen = _seen(console, request)
        page = further_pages.dead_letters_page(seen, model, reason)
        return render("dead_letters", console=seen, page=page, watched=model)

    @app.get("/settings")
    def settings(request: Request) -> HTMLResponse:
        seen = _seen(console, request)
        return render("settings", console=seen, page=further_pages.settings_page(seen))

    @app.get("/runbook")
    def runbook(request: Request) -> HTMLResponse:
        return render("runbook", console=_seen(console, request), text=runbook_html())


def _add_approvals(app: FastAPI, console: Console, render: Render) -> None:
    @app.get("/approvals")
    def approvals(request: Request) -> HTMLResponse:
        seen = _seen(console, request)
        opened, ended = approval_pages.approval_list(seen)
        return render("approvals", console=seen, opened=opened, ended=ended)

    @app.get("/approvals/{request_id}")
    def decision(request: Request, request_id: str) -> HTMLResponse:
        return show(_seen(console, request), request_id)

    @app.post("/approvals/{request_id}")
    def decide(
        request: Request,
        request_id: str,
        answer: Annotated[str, Form(max_length=20)] = "",
        digest: Annotated[str, Form(max_length=100)] = "",
        reason: Annotated[str, Form(max_length=10_000)] = "",
    ) -> Response:
        seen = _seen(console, request)
        result = decisions.decide(seen, request_id, answer=answer, reason=reason, digest=digest)
        address = f"/approvals/{quote(request_id, safe='')}"
        if result.status == 303:
            return RedirectResponse(address, status_code=303)
        if result.status == 202:
            values = {"title": "Sent", "message": result.message, "back": address}
            return render("message", status=202, console=seen, **values)
        return show(seen, request_id, status=result.status, refused=result.message, written=reason)

    def show(
        seen: Console, request_id: str, *, status: int = 200, refused: str = "", written: str = ""
    ) -> HTMLResponse:
        page = approval_pages.decision_page(seen, request_id)
        return render(
            "decision",
            status=status,
            console=seen,
            page=page,
            watched=page.approval.request.model,
            refused=refused,
            written=written,
        )


def _add_files(app: FastAPI, console: Console) -> None:
    @app.get("/assets/{name}")
    def asset(name: str) -> Response:
        if name not in FILES:
            raise NotFoundError(f"There is no file {name}.")
        kind = MEDIA_TYPES[f".{name.rpartition('.')[2]}"]
        return FileResponse(FOLDER / name, media_type=kind, headers={"cache-control": _FOR_EVER})

    @app.get("/pictures/{model}/{kind}.svg")
    async def picture(
        request: Request,
        model: str,
        kind: PictureKind,
        subject: Annotated[str, Query(max_length=200)] = "",
        variant: str = "",
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        if not _seen(console, request).sees(model):
            raise NotFoundError(f"There is no model {model}.")
        if variant not in VARIANTS:
            raise NotFoundError(f"Pictures have no variant {variant}.")
        newest = await run_in_threadpool(newest_id, console.reader, kind, model, subject)
        etag = f'"{newest}{variant}"'
        headers = {"etag": etag, "cache-control": "private, no-cache"}
        if if_none_match == etag:
            return Response(status_code=304, headers=headers)
        content = await console.pictures.svg(kind, model, subject, variant, newest)
        return Response(content, media_type="image/svg+xml", headers=headers)

    @app.get("/events")
    async def events(request: Request, model: str = "") -> StreamingResponse:
        if model and not _seen(console, request).sees(model):
            raise NotFoundError(f"There is no model {model}.")
        still_in = partial(still_signed_in, console.access, request)

        async def stream() -> AsyncIterator[str]:
            yield "retry: 2000\n\n"
            async for revision in console.live.revisions(model):
                if not await run_in_threadpool(still_in):
                    return  # the next connection is refused, and the page is left as it is
                if revision is None:
                    yield ": idle\n\n"
                else:
                    yield f"event: changed\nid: {revision}\ndata: {revision}\n\n"

        return StreamingResponse(
            stream(), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    @app.get("/health")
    def health(request: Request) -> dict[str, object]:
        known = request.state.identity is not None
        problem = console.feed.problem if known else "yes" if console.feed.problem else ""
        return {"read": console.feed.read, "problem": problem}
