"""The people who may let a version on, below `models.NAME.rollout.approvers`."""

from __future__ import annotations

from deploy.config.types import Section
from streaming.contracts.records import Approver


class ApproverSettings(Section):
    """A person who may approve or reject."""

    name: str
    """Name of the person: the user who runs the command, or the name that the sign-in gives."""
    role: str = ""
    """Role of the person; it is kept with each decision."""

    def approver(self) -> Approver:
        """The approver as records carry it."""
        return Approver(name=self.name, role=self.role)
