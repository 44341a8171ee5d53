"""Which versions of a model a record in force points to; their files stay.

What a reference describes is the version that is live, so references name no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.records import reader
from deploy.records.approvals import approvals
from streaming.contracts.log import RecordLog
from streaming.contracts.records import (
    ExperimentStatus,
    Promotion,
    RetrainRequest,
    RolloutStatus,
)

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

_APPROVALS = 50
"""Newest requests for an approval that are looked at; one of a model is open at a time."""


@dataclass(frozen=True, slots=True)
class VersionsInUse:
    """The versions of a model that a record in force points to."""

    live: int
    """0: none is live."""
    reasons: Mapping[int, str]
    """Version → why it is held."""


def versions_in_use(
    deployment: Deployment, log: RecordLog, model: str, requests: Iterable[RetrainRequest]
) -> VersionsInUse:
    """Which versions of a model are held, as the settings and the log say."""
    held: dict[int, str] = {}
    live = 0
    section = deployment.settings.models.get(model)
    for label, number in (section.version_labels if section else {}).items():
        held[number] = f"the label {label} names version {number}"
    for request in requests:
        if request.model == model and request.base_version:
            held[request.base_version] = "a retrain compares with it"
    for status in reader.records(log, ExperimentStatus, model):
        for arm in status.definition.arms if status.phase != "ended" else ():
            held[arm.version] = "an experiment has it"
    for approval in approvals(log, model, _APPROVALS):
        if approval.outcome is None:
            for number in (approval.request.version, approval.request.champion):
                held[number] = "people are asked about it"
    for rollout in reader.newest(log, RolloutStatus, model, 1):
        for number in (rollout.version, rollout.champion):
            held[number] = "the rollout has it"
    promotions = reader.records(log, Promotion, model)
    for promotion in promotions[-1:]:
        earlier = [p.version for p in promotions if p.version != promotion.version]
        for number in (promotion.replaced, *earlier[-1:]):
            held[number] = f"version {number} was live before"
        held[promotion.version] = f"version {promotion.version} is live"
        live = promotion.version
    return VersionsInUse(live, held)
