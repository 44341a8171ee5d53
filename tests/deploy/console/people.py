"""People with roles, their tokens and sessions, for tests of the console."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.testclient import TestClient

from deploy.config.access_settings import RoleName
from deploy.console.context import Console
from tests.deploy.console.consoles import browser

MODEL = "big_tipper"
ROLES: Mapping[str, RoleName] = {
    "vera": "viewer",
    "olaf": "operator",
    "petra": "approver",
    "ada": "admin",
}
STRANGER = "nils"
"""Has a role for no model."""
PASSWORD = "correct horse battery"
PASSWORDS: Mapping[str, object] = {
    "sign_in": "password",
    "roles": [{"person": name, "role": role} for name, role in ROLES.items()],
    "requests": 100_000,
}
"""The section `access` with these people."""


def token_of(console: Console, person: str, role: RoleName = "admin") -> dict[str, str]:
    """The header of a new token of a person."""
    access = console.access
    _, secret = access.tokens.create(person, "test", role=role, seconds=3600.0, now=access.now())
    return {"authorization": f"Bearer {secret}"}


def session_of(console: Console, person: str) -> TestClient:
    """A browser in which a person has signed in."""
    pages = browser(console)
    access = console.access
    secret = access.sessions.begin(person, now=access.now())
    pages.cookies.set(access.cookie, secret, domain="127.0.0.1", path="/")
    return pages
