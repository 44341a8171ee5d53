"""Who sends a request, and what this person may see and do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deploy.access.roles import ROLES, Roles, command_barrier, includes
from deploy.config.access_settings import RoleName, RoleSettings
from streaming.contracts.records import Action, Channel

How = Literal["local", "session", "token"]
"""local: the user who runs a console without sign-in. session: a browser after sign-in. token: a
program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A person, as a request proves it."""

    person: str
    how: How
    roles: Roles
    highest: RoleName = "admin"
    """The role that a token is limited to."""
    through: Channel = "console"
    """The channel of a person who comes without a token."""

    def role(self, model: str) -> RoleName | None:
        """The role for a model; None for none. Where nobody has a role, everybody has all."""
        held = self.roles.role(self.person, model) if self.roles.entries else "admin"
        return None if held is None else min(held, self.highest, key=ROLES.index)

    def sees(self, model: str) -> bool:
        """Whether the person may read what is about a model."""
        return self.role(model) is not None

    @property
    def is_admin(self) -> bool:
        """Whether the person is admin of every model, by this means."""
        everywhere = not self.roles.entries or self.roles.is_admin(self.person)
        return everywhere and self.highest == "admin"

    @property
    def highest_role(self) -> RoleName | None:
        """The highest role that the person has for any model."""
        held = [role for name in self.roles.tenants if (role := self.role(name)) is not None]
        return max(held, key=ROLES.index, default=None)

    def barrier(self, model: str, action: Action, *, force: bool = False) -> str:
        """Why the person may not give a command; empty if the person may."""
        limited = RoleSettings(person=self.person, role=self.role(model) or "viewer")
        entries = (limited,) if self.sees(model) else ()
        return command_barrier(
            Roles(entries, self.roles.tenants), self.person, model, action, force=force
        )

    def may(self, model: str, needed: RoleName) -> bool:
        """Whether the person has at least a role for a model."""
        return includes(self.role(model), needed)

    @property
    def channel(self) -> Channel:
        """The channel of a command that comes this way."""
        return "api" if self.how == "token" else self.through
