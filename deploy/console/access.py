"""Finds out who sends a request: a token, a session, or the user who runs the console."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.access.current_roles import CurrentRoles
from deploy.access.database import AccessDatabase
from deploy.access.oidc import OidcClient
from deploy.access.people import People
from deploy.access.private_files import read_secret
from deploy.access.rate_limit import RateLimit
from deploy.access.repeated_requests import RepeatedRequests
from deploy.access.roles import Roles
from deploy.access.sessions import Sessions
from deploy.access.tokens import Tokens
from deploy.config.access_settings import AccessSettings
from deploy.config.settings import Settings
from deploy.console.identity import Identity

BURST = 5
"""Bursts have this many times the requests of a second."""
ATTEMPTS, ATTEMPT_SECONDS = 5, 30.0
"""Attempts to sign in under one name at once, and the time until the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a console knows of people."""

    settings: AccessSettings
    current_roles: Callable[[], Roles]
    """The roles as they are now."""
    people: People
    tokens: Tokens
    sessions: Sessions
    repeated: RepeatedRequests
    oidc: OidcClient | None
    requests: RateLimit
    """By person, or by address for requests without one."""
    attempts: RateLimit
    """Attempts to sign in, by name and by address."""
    local: str
    """The user who runs the console."""
    cookie: str
    """Name of the session's cookie."""
    secure: bool
    """Whether browsers reach the console by https only."""
    now: Callable[[], float]
    """Seconds since 1970."""

    @property
    def roles(self) -> Roles:
        """The roles as they are now."""
        return self.current_roles()

    @property
    def has_sign_in(self) -> bool:
        """Whether people sign in."""
        return self.settings.sign_in != "none"

    def identify(self, authorization: str | None, session: str | None) -> Identity | None:
        """Who sends a request; None when nobody has signed in.

        Parameters
        ----------
        authorization:
            The header of that name, where it counts. A request with one is judged by it alone.
        session:
            The session's cookie.
        """
        if authorization is not None:
            scheme, _, secret = authorization.partition(" ")
            if scheme.lower() != "bearer":
                return None
            token = self.tokens.find(secret.strip(), now=self.now())
            if token is None:
                return None
            return self._identity(
                Identity(person=token.person, how="token", roles=self.roles, highest=token.role)
            )
        if not self.has_sign_in:
            return Identity(person=self.local, how="local", roles=self.roles)
        person = self.sessions.person(session, now=self.now()) if session else None
        if person is None:
            return None
        return self._identity(Identity(person=person, how="session", roles=self.roles))

    def _identity(self, identity: Identity) -> Identity | None:
        """The identity, unless the person has no role any more."""
        known = not self.roles.entries or self.roles.known(identity.person)
        return identity if known else None


def cookie_name(port: int, *, secure: bool) -> str:
    """Name of the session's cookie. Cookies know no ports, so consoles on one machine have names
    of their own; the prefix lets browsers accept it from this host by https only.

    >>> cookie_name(8580, secure=False), cookie_name(443, secure=True)
    ('driftline-8580', '__Host-driftline')
    """
    return "__Host-driftline" if secure else f"driftline-{port}"


def open_access(
    settings: Settings,
    home: Path,
    *,
    local: str,
    port: int,
    file: Path | None = None,
    now: Callable[[], float] = time.time,
) -> Access:
    """The access of a console, with the database below DRIFTLINE_HOME.

    Parameters
    ----------
    file:
        The configuration file, whose roles count as they are at each request; None for the roles of
        `settings`.

    Raises
    ------
    ConfigurationError
        When the database, or a file with a secret, cannot be used.
    """
    access = settings.access
    database = AccessDatabase(home / "access")
    if access.key_file:
        read_secret(Path(access.key_file), "the key of the console's certificate")
    address = access.address or f"http://127.0.0.1:{port}"
    secure = bool(access.certificate_file) or address.startswith("https://")
    return Access(
        settings=access,
        current_roles=CurrentRoles(settings, file),
        people=People(database),
        tokens=Tokens(database),
        sessions=Sessions(database, seconds=access.session, idle=access.idle),
        repeated=RepeatedRequests(database),
        oidc=_oidc(access, address, now) if access.sign_in == "oidc" else None,
        requests=RateLimit(access.requests, BURST * access.requests, time.monotonic),
        attempts=RateLimit(1 / ATTEMPT_SECONDS, ATTEMPTS, time.monotonic),
        local=local,
        cookie=cookie_name(port, secure=secure),
        secure=secure,
        now=now,
    )


def _oidc(access: AccessSettings, address: str, now: Callable[[], float]) -> OidcClient:
    secret_file = access.oidc.client_secret_file
    return OidcClient(
        issuer=access.oidc.issuer,
        client_id=access.oidc.client_id,
        client_secret=read_secret(Path(secret_file), "the client's secret")
        if secret_file
        else None,
        callback=f"{address}/sign-in/callback",
        name_claim=access.oidc.name_claim,
        now=now,
    )


def cookie_value(cookies: Mapping[str, str], name: str) -> str | None:
    """A cookie's value; None for none, and for one that cannot be an id."""
    value = cookies.get(name)
    return value if value and len(value) <= 200 and value.isascii() else None
