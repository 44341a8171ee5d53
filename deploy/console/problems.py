"""Errors of the API as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from streaming.contracts.errors import (
    Conflict,
    DriftlineError,
    NotAllowedError,
    NotFoundError,
    UnavailableError,
)

MEDIA_TYPE = "application/problem+json"
MAX_DETAIL = 2000
"""Longest description of what is wrong with a request, in characters."""
_STATUSES: tuple[tuple[type[DriftlineError], int], ...] = (
    (NotFoundError, 404),
    (NotAllowedError, 403),
    (Conflict, 409),
    (UnavailableError, 503),
)


class Problem(BaseModel):
    """What went wrong."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: str = Field(default="about:blank")
    """Kind of the problem; about:blank says no more than the status."""
    title: str
    """The status in words."""
    status: int
    """The HTTP status."""
    detail: str
    """What was found, what was expected, and what to do next."""


class ProblemError(Exception):
    """Ends a request with a status and a sentence."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The response for an error."""
    content = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail[:MAX_DETAIL])
    return JSONResponse(
        content.model_dump(), status_code=status, headers=headers, media_type=MEDIA_TYPE
    )


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented errors of an operation, with those that every operation has."""
    every = (400, 401, 403, 404, 413, 421, 422, 429, 503)
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: schema}}
        for status in sorted({*every, *statuses})
    }


def _methods(request: Request) -> str:
    """The methods of all operations at a path; the framework names those of the first one only."""
    methods: set[str] = set()
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return ", ".join(sorted(methods))


def add_handlers(app: FastAPI) -> None:
    """Answer every error of the application as a problem."""

    def of_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)
        return problem(error.status, error.detail, error.headers)

    def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = {"allow": _methods(request)} if error.status_code == 405 else error.headers
        return problem(error.status_code, str(error.detail), headers)

    def of_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        mistakes = (
            f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors()
        )
        return problem(422, "; ".join(mistakes))

    def of_driftline(request: Request, error: Exception) -> Response:
        status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
        return problem(status, str(error))

    def of_bug(request: Request, error: Exception) -> Response:
        text = (
            "The console could not answer because of an error of its own. Send it again; a command "
            "with the same Idempotency-Key acts once. The console's output has the error."
        )
        return problem(500, text)

    app.add_exception_handler(Exception, of_bug)
    app.add_exception_handler(ProblemError, of_problem)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(DriftlineError, of_driftline)
