"""Collects what `driftline rollout status` shows: records from the log, and the engines' state."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from deploy.app.deployment import Deployment
from deploy.app.serving_engines import model_servers, traffic_metrics, traffic_router
from deploy.app.serving_layout import SERVED_ROLES
from deploy.records import reader
from deploy.records.describe import describe, is_waiting
from deploy.views.rollout import ArmView, RolloutView
from serving.ports import Role, Scrape, ServerStatus
from streaming.contracts.errors import DriftlineError, NotFoundError
from streaming.contracts.log import RecordLog
from streaming.contracts.records import (
    AnyRecord,
    CanaryVerdict,
    CommandReply,
    DriftVerdict,
    ModelVersion,
    RetrainFailure,
    RetrainRequest,
    RolloutStatus,
)

MEASURED_SECONDS = 60.0
"""Requests of this last period give the measured shares."""

T = TypeVar("T")


def newest_status(log: RecordLog, model: str) -> RolloutStatus:
    """The newest status of a model's rollouts; raises `NotFoundError` when there was none."""
    statuses = reader.newest(log, RolloutStatus, model, 1)
    if not statuses:
        raise NotFoundError(
            f"{model} had no rollout yet; `driftline retrain {model} --reason …` requests one."
        )
    return statuses[0]


def before_first_rollout(log: RecordLog, model: str) -> str:
    """What a model without a rollout waits for, from the newest record about its retrains."""
    records: list[AnyRecord] = [*reader.newest(log, CommandReply, model, 1, where=is_waiting)]
    for kind in (RetrainRequest, RetrainFailure, ModelVersion):
        records += reader.newest(log, kind, model, 1)
    if records:
        newest = max(records, key=lambda record: record.at)
        return f"{model} had no rollout yet; {describe(newest)}"
    windows = len(reader.records(log, DriftVerdict, model))
    return f"{model} has no version yet; {windows} window{'s' * (windows != 1)} judged"


def newest_verdict(log: RecordLog, status: RolloutStatus) -> CanaryVerdict | None:
    """The newest verdict of the rollout that a status is about, None before the first."""
    verdicts = reader.newest(log, CanaryVerdict, status.model, 1)
    same_rollout = verdicts and verdicts[0].rollout_id == status.rollout_id
    return verdicts[0] if same_rollout else None


class RolloutObserver:
    """Looks at a rollout again and again; engines that do not answer are reported, not raised."""

    def __init__(self, deployment: Deployment, log: RecordLog, model: str) -> None:
        self._log = log
        self._model = model
        self._steps = len(deployment.rollout_rules(model).weights)
        self._problems: list[str] = []
        self._served = deployment.serves(model)
        if self._served:
            self._router = traffic_router(deployment, model)
            self._servers = model_servers(deployment, model)
            self._metrics = traffic_metrics(deployment, model)

    def look(self) -> RolloutView:
        """The rollout as it is now."""
        self._problems = []
        status = newest_status(self._log, self._model)
        arms = self._arms() if self._served else ()
        return RolloutView(
            status=status,
            verdict=newest_verdict(self._log, status),
            steps=self._steps,
            arms=arms,
            problems=tuple(dict.fromkeys(self._problems)),
        )

    def _arms(self) -> tuple[ArmView, ...]:
        split = self._try(self._router.current_split)
        now = time.time()
        scrapes = self._try(lambda: self._metrics.scrapes(since=now - MEASURED_SECONDS, now=now))
        shares = measured_shares(scrapes or ())
        return tuple(
            _arm(
                role,
                self._try(lambda role=role: self._servers.status(role)),  # type: ignore[misc]
                weight=None if split is None else int(getattr(split, role)),
                measured=shares.get(role),
            )
            for role in SERVED_ROLES
        )

    def _try(self, ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except DriftlineError as error:
            self._problems.append(str(error))
            return None


def measured_shares(scrapes: tuple[Scrape, ...]) -> dict[str, float]:
    """Each arm's share of the requests between the first and the last scrape, in percent."""
    if len(scrapes) < 2 or scrapes[-1].uptime_seconds < scrapes[0].uptime_seconds:
        return {}
    before = {arm.arm: arm.requests for arm in scrapes[0].arms}
    counts = {
        arm.arm: arm.requests - before.get(arm.arm, 0)
        for arm in scrapes[-1].arms
        if arm.arm in SERVED_ROLES
    }
    total = sum(counts.values())
    return {arm: 100.0 * count / total for arm, count in counts.items()} if total > 0 else {}


def _arm(
    role: Role, server: ServerStatus | None, *, weight: int | None, measured: float | None
) -> ArmView:
    reachable = server is not None and server.reachable
    versions = [
        str(entry.version) if entry.state == "available" else f"{entry.version} ({entry.state})"
        for entry in (server.versions if server is not None else ())
        if entry.state != "ended"
    ]
    return ArmView(
        role=role,
        version=", ".join(versions) or "–",
        health="ready" if reachable else "no answer",
        weight=weight,
        measured=measured,
    )
