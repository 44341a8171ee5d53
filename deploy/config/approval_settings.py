"""The people who may let a version on, below `models.NAME.rollout.approvers`."""

from __future__ import annotations

from deploy.config.types import Section
from streaming.contracts.records import Approver


class ApproverSettings(Section):
    """A person who may approve or reject."""

    name: str
    """Name of the person, as `driftline` sends it: the user who runs the command."""
    role: str = ""
    """Role of the person; it is kept with each decision."""

    def approver(self) -> Approver:
        """The approver as records carry it."""
        return Approver(name=self.name, role=self.role)
