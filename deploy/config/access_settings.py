"""Who may use the console, its API and the daemon's commands: the section `access`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploy.config.types import Addresses, PositiveDuration, Section

RoleName = Literal["viewer", "operator", "approver", "admin"]
"""viewer: read. operator: also retrain, pause, resume, abort, roll back, retry, run experiments.
approver: also decide on approvals and schema proposals, and promote. admin: also force a command,
and see and revoke the tokens of others. Each role includes those before it."""


class RoleSettings(Section):
    """A role of one person."""

    person: str = Field(min_length=1, max_length=200)
    """Name of the person, as the sign-in gives it; capitals make no difference."""
    role: RoleName
    """viewer, operator, approver or admin; each includes those before it."""
    models: tuple[str, ...] = ()
    """Names of the models for which the person has the role. Empty, without tenants: all."""
    tenants: tuple[str, ...] = ()
    """Tenants (`models.NAME.tenant`) for whose models the person has the role."""


class OidcSettings(Section):
    """The sign-in of an OpenID provider (code flow with PKCE)."""

    issuer: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Address of the provider; https, or http on a loopback address. Empty: none."""
    client_id: str = ""
    """Id under which the provider knows this console."""
    client_secret_file: str = ""
    """File with the client's secret, readable by its user only. Empty: a public client."""
    name_claim: str = "email"
    """The claim of the ID token that is the person's name. `email` counts only when the provider
    says that it is verified."""


class CommandKeySettings(Section):
    """A key whose signature the daemon accepts."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")
    """Name of the key; each signed command carries it."""
    public: str = Field(pattern=r"^[A-Za-z0-9_-]{43}$")
    """The public key, as `driftline access key create` prints it."""
    person: str = ""
    """The only person in whose name the key signs. Empty: any; for the console, which knows who
    has signed in."""


class AccessSettings(Section):
    """Who may see and do what. Without it the console is for one machine: it has no sign-in,
    listens on a loopback address, and acts in the name of the user who runs it."""

    sign_in: Literal["none", "password", "oidc"] = "none"
    """none: no sign-in, on a loopback address only. password: people that `driftline access user
    add` has added. oidc: the provider below."""
    roles: tuple[RoleSettings, ...] = ()
    """Who has which role. A person without one sees nothing once there is a sign-in. Where roles
    are given, the daemon refuses commands of people who have none for the model."""
    oidc: OidcSettings = OidcSettings()
    """The sign-in of an OpenID provider."""
    session: PositiveDuration = 8 * 3600.0
    """A person signs in again after this time."""
    idle: PositiveDuration = 3600.0
    """A session that is not used for this time ends."""
    token: PositiveDuration = 90 * 86400.0
    """Longest validity of a token."""
    address: str = Field(default="", pattern=r"^(https?://[^/\s]+)?$")
    """Address under which browsers reach the console, for example https://driftline.example.
    Empty: the loopback address."""
    certificate_file: str = ""
    """File with the console's certificate, and those above it. Empty: no TLS of its own."""
    key_file: str = ""
    """File with the key of the certificate, readable by its user only."""
    proxy: Addresses = ""
    """Addresses of the proxies that end TLS in front of the console; only they may name the
    client that a request comes from. Empty: none."""
    requests: int = Field(default=20, ge=1)
    """Requests that a person, or an address without sign-in, may send in a second; bursts of five
    times as many are let through."""
    command_keys: tuple[CommandKeySettings, ...] = ()
    """Keys of the console and of command lines. Where some are given, the daemon takes signed
    commands only."""
    signing_key: str = ""
    """Name of the key with which this machine signs commands; its file is `access/NAME.key` below
    DRIFTLINE_HOME. Empty: commands are not signed."""
