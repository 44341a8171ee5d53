"""Who may let a version on, and how many people it takes: the settings, with their reasons."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import Approver


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRules:
    """Who decides on a version of one model.

    Raises
    ------
    ConfigurationError
        When no approval could ever succeed.
    """

    approvers: tuple[Approver, ...] = ()
    """Who may say yes or no; empty = anybody. Names are those that commands carry: of the user who
    ran it, or who signed in at the console."""
    people: int = 1
    """How many different people must say yes."""
    by_proposer: bool = True
    """Whether the person who asked for the retrain, or for another try, may say yes to it."""

    def __post_init__(self) -> None:
        if self.people < 1:
            raise ConfigurationError(f"approval_people is {self.people}; at least 1 must approve.")
        if any(not approver.name.strip() for approver in self.approvers):
            raise ConfigurationError("An approver has no name; give each one as commands carry it.")
        names = [person(approver.name) for approver in self.approvers]
        if len(set(names)) < len(names):
            raise ConfigurationError(
                f"The approvers {', '.join(names)} name somebody twice; give each person once."
            )
        needed = self.people + (0 if self.by_proposer else 1)
        if names and len(names) < needed:
            proposer = "" if self.by_proposer else ", and one more for what an approver proposed"
            raise ConfigurationError(
                f"{self.people} of {len(names)} approvers must approve{proposer}, so that it could "
                f"never succeed; name at least {needed} approvers, or ask for fewer people."
            )


def person(name: str) -> str:
    """A name as it counts: capitals make no second person.

    >>> person(" Ann ") == person("ann")
    True
    """
    return name.strip().casefold()
