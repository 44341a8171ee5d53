"""The pages on which people sign in and out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import structlog
from fastapi import FastAPI, Form, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.requests import Request

from deploy.access.following import own_page
from deploy.access.roles import same_person
from deploy.access.sessions import PENDING_SECONDS
from deploy.console.access import Access, cookie_value
from deploy.console.context import Console
from streaming.contracts.errors import NotAllowedError, NotFoundError, UnavailableError

Render = Callable[..., HTMLResponse]
log = structlog.get_logger()

WRONG = "Name or password is wrong."
NO_ROLE = "You have no role here; an admin can give you one (access.roles)."
Following = Annotated[str, Query(max_length=4000)]


def add_sign_in(app: FastAPI, console: Console, render: Render) -> None:
    """Add the pages to the application."""
    access = console.access

    def page(
        refused: str = "",
        *,
        status: int = 200,
        following: str = "/",
        written: str = "",
        wait: int = 0,
    ) -> HTMLResponse:
        response = render(
            "sign_in",
            status=status,
            refused=refused,
            following=own_page(following),
            written=written,
            method=access.settings.sign_in,
            issuer=access.settings.oidc.issuer,
        )
        if wait:
            response.headers["retry-after"] = str(wait)
        return response

    @app.post("/sign-out")
    def sign_out(request: Request) -> Response:
        session = cookie_value(request.cookies, access.cookie)
        if session:
            access.sessions.end(session)
        response = RedirectResponse("/sign-in", status_code=303)
        _delete_cookie(access, response, access.cookie)
        return response

    _add_password(app, access, page)
    _add_oidc(app, access, page)


def _add_password(app: FastAPI, access: Access, page: Callable[..., HTMLResponse]) -> None:
    @app.get("/sign-in")
    def sign_in(following: Following = "/") -> HTMLResponse:
        return page(following=following)

    @app.post("/sign-in")
    def with_password(
        request: Request,
        name: Annotated[str, Form(max_length=200)] = "",
        password: Annotated[str, Form(max_length=1000)] = "",
        following: Annotated[str, Form(max_length=4000)] = "/",
    ) -> Response:
        if access.settings.sign_in != "password":
            raise NotFoundError("This console has no passwords.")
        shown = partial(page, following=following, written=name)
        client = request.client.host if request.client else ""
        keys = (f"name {same_person(name)}", f"address {client}")
        # Counted before the password is looked at, or many requests at once would be many attempts.
        wait = max([access.attempts.take(key) for key in keys])
        if wait:
            text = f"Too many attempts; try again in {wait} s."
            return shown(text, status=429, wait=wait)
        person = access.people.sign_in(name, password)
        if person is None:
            log.warning("sign_in.refused", name=name, client=client)
            return shown(WRONG, status=401)
        for key in keys:
            access.attempts.give_back(key)
        if not access.roles.known(person):
            return shown(NO_ROLE, status=403)
        return _signed_in(access, request, person, following)


def _add_oidc(app: FastAPI, access: Access, page: Callable[..., HTMLResponse]) -> None:
    pending_cookie = f"{access.cookie}-pending"

    @app.get("/sign-in/start")
    def start(following: Following = "/") -> Response:
        if access.oidc is None:
            raise NotFoundError("This console has no provider to sign in at.")
        try:
            address, pending = access.oidc.begin(own_page(following))
        except UnavailableError as error:
            return page(str(error), status=503, following=following)
        secret = access.sessions.begin_pending(pending, now=access.now())
        response = RedirectResponse(address, status_code=303)
        _set_cookie(access, response, pending_cookie, secret, PENDING_SECONDS)
        return response

    @app.get("/sign-in/callback")
    def callback(request: Request) -> Response:
        if access.oidc is None:
            raise NotFoundError("This console has no provider to sign in at.")
        secret = cookie_value(request.cookies, pending_cookie)
        pending = access.sessions.take_pending(secret, now=access.now()) if secret else None
        if pending is None:
            return page("This sign-in was not begun here, or took too long.", status=403)
        try:
            person = access.oidc.finish(pending, dict(request.query_params))
        except NotAllowedError as error:
            return page(str(error), status=403, following=pending.following)
        except UnavailableError as error:
            return page(str(error), status=503, following=pending.following)
        if not access.roles.known(person):
            return page(NO_ROLE, status=403, following=pending.following)
        response = _signed_in(access, request, person, pending.following)
        _delete_cookie(access, response, pending_cookie)
        return response


def _signed_in(access: Access, request: Request, person: str, following: str) -> Response:
    """Begin a session under a new id; the id that the browser had counts no more."""
    before = cookie_value(request.cookies, access.cookie)
    secret = access.sessions.begin(person, now=access.now(), replaced=before)
    log.info("sign_in.accepted", person=person)
    response = RedirectResponse(own_page(following), status_code=303)
    _set_cookie(access, response, access.cookie, secret, access.settings.session)
    return response


def _set_cookie(access: Access, response: Response, name: str, value: str, seconds: float) -> None:
    # Lax and not Strict: the provider's answer arrives by a link of another site
    response.set_cookie(
        name,
        value,
        max_age=int(seconds),
        path="/",
        httponly=True,
        samesite="lax",
        secure=access.secure,
    )


def _delete_cookie(access: Access, response: Response, name: str) -> None:
    response.delete_cookie(name, path="/", httponly=True, samesite="lax", secure=access.secure)
