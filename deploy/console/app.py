"""The console as a web application. Routes gather a page, render it, and nothing else.

Page routes are plain functions, which the framework runs in threads: SQLite's answers take
milliseconds. Pictures are drawn in a thread of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, Form, Header, Query
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse

from deploy.console import approval_pages, decisions, further_pages
from deploy.console.assets_lock import FILES, FOLDER, MEDIA_TYPES
from deploy.console.context import Console
from deploy.console.model_page import model_page
from deploy.console.overview import overview
from deploy.console.pictures import PictureKind, newest_id
from deploy.console.security import SecurityMiddleware
from deploy.console.templating import environment
from deploy.views.theme import VARIANTS
from streaming.contracts.errors import NotFoundError, UnavailableError

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
    app.add_middleware(SecurityMiddleware, hosts=console.hosts)
    render = _renderer(console)
    _add_errors(app, render)
    _add_pages(app, console, render)
    _add_approvals(app, console, render)
    _add_files(app, console)
    return app


def _renderer(console: Console) -> Render:
    templates = environment()

    def render(name: str, *, status: int = 200, watched: str = "", **values: Any) -> HTMLResponse:
        """`watched` is the model whose records redraw the page; empty for all."""
        text = templates.get_template(f"{name}.html").render(
            console=console,
            now=console.now(),
            watched=watched,
            waiting=len(console.reader.open_requests()),
            **values,
        )
        return HTMLResponse(text, status_code=status)

    return render


def _add_errors(app: FastAPI, render: Render) -> None:
    def not_found(request: Request, error: Exception) -> HTMLResponse:
        message = str(error) if isinstance(error, NotFoundError) else "There is no such page."
        return render("message", status=404, title="Not found", message=message, back="/")

    def unavailable(request: Request, error: Exception) -> HTMLResponse:
        return render("message", status=503, title="Not now", message=str(error), back="/")

    app.add_exception_handler(NotFoundError, not_found)
    app.add_exception_handler(UnavailableError, unavailable)
    app.add_exception_handler(404, not_found)


def _add_pages(app: FastAPI, console: Console, render: Render) -> None:
    @app.get("/")
    def first_page() -> HTMLResponse:
        return render("overview", page=overview(console))

    @app.get("/models/{name}")
    def model(name: str, feature: Annotated[str, Query(max_length=200)] = "") -> HTMLResponse:
        page = model_page(console, name, feature)
        return render("model", page=page, feature=feature, watched=name)

    @app.get("/records/{record_id}")
    def record(record_id: str) -> HTMLResponse:
        page = further_pages.record_page(console, record_id)
        return render("record", page=page, watched=page.row.model)

    @app.get("/dead-letters")
    def dead_letters(model: str = "", reason: str = "") -> HTMLResponse:
        page = further_pages.dead_letters_page(console, model, reason)
        return render("dead_letters", page=page, watched=model)

    @app.get("/settings")
    def settings() -> HTMLResponse:
        return render("settings", page=further_pages.settings_page(console))


def _add_approvals(app: FastAPI, console: Console, render: Render) -> None:
    @app.get("/approvals")
    def approvals() -> HTMLResponse:
        opened, ended = approval_pages.approval_list(console)
        return render("approvals", opened=opened, ended=ended)

    @app.get("/approvals/{request_id}")
    def decision(request_id: str) -> HTMLResponse:
        page = approval_pages.decision_page(console, request_id)
        model = page.approval.request.model
        return render("decision", page=page, watched=model, refused="", written="")

    @app.post("/approvals/{request_id}")
    def decide(
        request_id: str,
        answer: Annotated[str, Form(max_length=20)] = "",
        digest: Annotated[str, Form(max_length=100)] = "",
        reason: Annotated[str, Form(max_length=10_000)] = "",
    ) -> Response:
        result = decisions.decide(console, request_id, answer=answer, reason=reason, digest=digest)
        address = f"/approvals/{quote(request_id, safe='')}"
        if result.status == 303:
            return RedirectResponse(address, status_code=303)
        if result.status == 202:
            return render("message", status=202, title="Sent", message=result.message, back=address)
        page = approval_pages.decision_page(console, request_id)
        return render(
            "decision",
            status=result.status,
            page=page,
            watched=page.approval.request.model,
            refused=result.message,
            written=reason,
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
        model: str,
        kind: PictureKind,
        feature: Annotated[str, Query(max_length=200)] = "",
        variant: str = "",
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        if variant not in VARIANTS:
            raise NotFoundError(f"Pictures have no variant {variant}.")
        newest = await run_in_threadpool(newest_id, console.reader, kind, model)
        etag = f'"{newest}{variant}"'
        headers = {"etag": etag, "cache-control": "private, no-cache"}
        if if_none_match == etag:
            return Response(status_code=304, headers=headers)
        content = await console.pictures.svg(kind, model, feature, variant, newest)
        return Response(content, media_type="image/svg+xml", headers=headers)

    @app.get("/events")
    async def events(model: str = "") -> StreamingResponse:
        async def stream() -> AsyncIterator[str]:
            yield "retry: 2000\n\n"
            async for revision in console.live.revisions(model):
                if revision is None:
                    yield ": idle\n\n"
                else:
                    yield f"event: changed\nid: {revision}\ndata: {revision}\n\n"

        return StreamingResponse(
            stream(), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    @app.get("/health")
    def health() -> dict[str, object]:
        return {"read": console.feed.read, "problem": console.feed.problem}
