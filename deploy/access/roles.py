"""Decides what a person may do: pure, from the settings' roles.

A person has, for each model, the highest role that any entry gives. Each role includes those before
it. A name counts without regard to capitals, as in approvals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deploy.config.access_settings import RoleName, RoleSettings
from deploy.config.settings import Settings
from streaming.contracts.records import Action

ROLES: tuple[RoleName, ...] = ("viewer", "operator", "approver", "admin")
NEEDED: Mapping[Action, RoleName] = {
    "retrain": "operator",
    "pause": "operator",
    "resume": "operator",
    "abort": "operator",
    "rollback": "operator",
    "retry": "operator",
    "start-experiment": "operator",
    "stop-experiment": "operator",
    "approve": "approver",
    "reject": "approver",
    "promote": "approver",
    "accept-schema": "approver",
    "reject-schema": "approver",
}
"""The role that each command needs. What lets a version or a schema on needs an approver; what runs
again through all gates, or protects, an operator."""


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles of all people, and the tenant of each model."""

    entries: tuple[RoleSettings, ...]
    tenants: Mapping[str, str]
    """Tenant by model; empty for none."""

    @classmethod
    def of(cls, settings: Settings) -> Roles:
        """The roles that the settings give."""
        tenants = {name: model.tenant for name, model in settings.models.items()}
        return cls(settings.access.roles, tenants)

    def role(self, person: str, model: str) -> RoleName | None:
        """The role of a person for a model; None for none.

        >>> entry = RoleSettings(person="ann", role="operator", models=("trips",))
        >>> roles = Roles((entry,), {"trips": "", "fares": ""})
        >>> roles.role("Ann", "trips"), roles.role("Ann", "fares")
        ('operator', None)
        """
        held = [entry.role for entry in self._entries_of(person) if self._covers(entry, model)]
        return max(held, key=ROLES.index, default=None)

    def models(self, person: str) -> tuple[str, ...]:
        """The models that a person may see, in the order of the settings."""
        return tuple(name for name in self.tenants if self.role(person, name) is not None)

    def is_admin(self, person: str) -> bool:
        """Whether a person is admin of every model."""
        return any(
            entry.role == "admin" and not entry.models and not entry.tenants
            for entry in self._entries_of(person)
        )

    def known(self, person: str) -> bool:
        """Whether a person has any role."""
        return any(self._entries_of(person))

    def _entries_of(self, person: str) -> list[RoleSettings]:
        name = same_person(person)
        return [entry for entry in self.entries if same_person(entry.person) == name]

    def _covers(self, entry: RoleSettings, model: str) -> bool:
        if not entry.models and not entry.tenants:
            return True
        tenant = self.tenants.get(model, "")
        return model in entry.models or (tenant != "" and tenant in entry.tenants)


def includes(held: RoleName | None, needed: RoleName) -> bool:
    """Whether a role is at least the one that is needed.

    >>> includes("admin", "viewer"), includes(None, "viewer")
    (True, False)
    """
    return held is not None and ROLES.index(held) >= ROLES.index(needed)


def command_barrier(
    roles: Roles, person: str, model: str, action: Action, *, force: bool = False
) -> str:
    """Why a person may not give a command; empty if the person may.

    Parameters
    ----------
    force:
        Whether it is meant also against the gates; that needs an admin.
    """
    needed: RoleName = "admin" if force else NEEDED[action]
    held = roles.role(person, model)
    if includes(held, needed):
        return ""
    what = f"{action} with force" if force else action
    present = f"is {held}" if held else "has no role"
    return (
        f"{person or 'Nobody'} {present} for {model}, and {what} needs the role {needed} "
        "(access.roles)."
    )


def same_person(name: str) -> str:
    """A name as it counts.

    >>> same_person(" Ann ") == same_person("ann")
    True
    """
    return name.strip().casefold()
