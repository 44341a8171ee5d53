"""The operations on tokens: people see and revoke their own, admins everybody's."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request

from deploy.access.roles import includes
from deploy.console.api import schemas
from deploy.console.api.read_operations import Id
from deploy.console.context import Console
from deploy.console.gate import identity_of
from deploy.console.problems import ProblemError, responses

DAY = 86_400.0


def add_tokens(router: APIRouter, console: Console) -> None:
    """Add the operations."""
    access = console.access

    @router.get("/tokens", responses=responses())
    def listed(
        request: Request,
        everybody: Annotated[bool, Query(description="Also those of others, for admins.")] = False,
    ) -> schemas.TokenList:
        """Your tokens, without the tokens themselves."""
        identity = identity_of(request)
        if everybody and not identity.is_admin:
            raise ProblemError(403, "Only an admin of all models sees the tokens of others.")
        tokens = access.tokens.listed(None if everybody else identity.person)
        return schemas.TokenList(items=[schemas.TokenDetail(**asdict(entry)) for entry in tokens])

    @router.post("/tokens", status_code=201, responses=responses())
    def create(request: Request, content: schemas.TokenInput) -> schemas.NewToken:
        """Make a token; its text is in this answer and nowhere else."""
        identity = identity_of(request)
        if identity.how == "token":
            raise ProblemError(403, "A token makes no tokens; sign in.")
        if not includes(identity.highest_role, content.role):
            raise ProblemError(403, f"Your own role does not include {content.role}.")
        seconds = min(content.days * DAY, access.settings.token)
        token, secret = access.tokens.create(
            identity.person,
            content.label.strip(),
            role=content.role,
            seconds=seconds,
            now=access.now(),
        )
        return schemas.NewToken(**asdict(token), token=secret)

    @router.delete("/tokens/{token_id}", responses=responses())
    def revoke(request: Request, token_id: Id) -> schemas.TokenDetail:
        """Revoke a token; it counts no more from now on."""
        identity = identity_of(request)
        person = None if identity.is_admin else identity.person
        token = access.tokens.revoke(token_id, now=access.now(), person=person)
        return schemas.TokenDetail(**asdict(token))
