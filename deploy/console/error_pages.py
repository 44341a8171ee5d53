"""Pages for requests that failed: what happened, and what to do next."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request

from deploy.console.context import Console
from deploy.console.security import HEADERS
from streaming.contracts.errors import NotFoundError, UnavailableError

BROKEN = (
    "Driftline could not make this page, because of an error of its own; nothing was changed by "
    "looking at it. Load it again. If you sent a form, look at the audit to see whether it counts. "
    "What went wrong is in the output of `driftline console`; `driftline status` shows what runs."
)
_GONE = (
    "The address may be mistyped, or what it names may have ended, be no longer kept, or be of a "
    "model that you may not see. The pages named above list what there is."
)


def add_error_pages(app: FastAPI, console: Console, render: Callable[..., HTMLResponse]) -> None:
    """Answer every error of a page with a page that leads back."""

    def message(request: Request, status: int, title: str, text: str) -> HTMLResponse:
        identity = getattr(request.state, "identity", None)
        seen = None if identity is None else console.seen_by(identity)
        return render("message", status=status, console=seen, title=title, message=text, back="/")

    def not_found(request: Request, error: Exception) -> HTMLResponse:
        text = str(error) if isinstance(error, NotFoundError) else "There is no such page."
        return message(request, 404, "Not found", f"{text} {_GONE}")

    def unavailable(request: Request, error: Exception) -> HTMLResponse:
        text = f"{error} Load the page again in a moment; `driftline status` shows what runs."
        return message(request, 503, "Not now", text)

    def not_understood(request: Request, error: Exception) -> HTMLResponse:
        assert isinstance(error, RequestValidationError)
        places = ", ".join(dict.fromkeys(str(entry["loc"][-1])[:40] for entry in error.errors()))
        text = (
            f"The request has a value that cannot be used: {places}. Nothing was done. Go back and "
            "correct it, or begin anew at the overview."
        )
        return message(request, 422, "Not understood", text)

    def refused(request: Request, error: Exception) -> HTMLResponse:
        assert isinstance(error, HTTPException)
        title = HTTPStatus(error.status_code).phrase
        text = f"{error.detail}: nothing was done. Open the page that you want from the overview."
        shown = message(request, error.status_code, title, text)
        shown.headers.update(error.headers or {})
        return shown

    def broken(request: Request, error: Exception) -> HTMLResponse:
        try:
            shown = message(request, 500, "An error of Driftline", BROKEN)
        except Exception:  # noqa: BLE001 - what broke the page may break this one, too
            shown = HTMLResponse(BROKEN, status_code=500)
        shown.headers.update(HEADERS)  # this answer is made outside of what adds them
        shown.headers["cache-control"] = "no-store"
        return shown

    app.add_exception_handler(RequestValidationError, not_understood)
    app.add_exception_handler(NotFoundError, not_found)
    app.add_exception_handler(UnavailableError, unavailable)
    app.add_exception_handler(404, not_found)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, broken)
