"""Experiments on in-memory engines, with users that a random generator brings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from serving.experiment_rules import ExperimentRules
from serving.ports import TrafficSplit
from streaming.contracts.experiment_assignment import with_id
from streaming.contracts.experiment_records import (
    ExperimentArm,
    ExperimentArmCounts,
)
from streaming.contracts.records import (
    Command,
    CommandReply,
    ExperimentCounts,
    ExperimentDefinition,
    ExperimentLook,
    ExperimentStatus,
)
from tests.serving.rollout_simulation import START, RolloutSimulation, quick_rules, version

RULES = ExperimentRules()
NOW = START + 100.0


def arm(name: str, number: int, share: int = 5000) -> ExperimentArm:
    return ExperimentArm(name=name, version=number, share=share)


def definition(**changes: object) -> ExperimentDefinition:
    """An experiment of version 2 against version 1, on all users."""
    values: dict[str, object] = {
        "experiment_id": "",
        "arms": (arm("champion", 1), arm("v2", 2)),
        "user_header": "x-user-id",
        "user_field": "user_id",
        "begin": START,
        "end": START + 3600.0,
        "metric": "accuracy",
        "minimum_effect": 0.05,
        "alpha": 0.05,
        "user_seconds": 10.0,
        "label_seconds": 5.0,
        "min_users": 200,
        "errors_pp": 1.0,
        "slow_pp": 2.0,
        **changes,
    }
    return with_id(ExperimentDefinition(**values), "m")  # type: ignore[arg-type]


def arm_counts(name: str, values: NDArray[np.float64], **changes: int) -> ExperimentArmCounts:
    """The counts of users with these means of the metric."""
    whole = np.rint(np.asarray(values) * 10_000).astype(int)
    counted: dict[str, int] = {
        "users": len(whole),
        "counted": len(whole),
        "total": int(whole.sum()),
        "squares": int((whole * whole).sum()),
        "predictions": len(whole),
        **changes,
    }
    return ExperimentArmCounts(arm=name, **counted)


def counts_of(
    planned: ExperimentDefinition, *arms: ExperimentArmCounts, at: float, waiting: int = 0
) -> ExperimentCounts:
    return ExperimentCounts(
        record_id=f"counts-{at}",
        model="m",
        at=at,
        experiment_id=planned.experiment_id,
        arms=arms,
        waiting=waiting,
    )


@dataclass
class ExperimentSimulation(RolloutSimulation):
    """A model with version 1 live, its experiment, and a label service that counts users."""

    means: dict[int, float] = field(default_factory=lambda: {1: 0.7, 2: 0.7, 3: 0.7})
    """Share of correct predictions by version."""
    users_per_second: float = 20.0
    lost: float = 0.0
    """Share of the users of version 2 that are never seen."""
    crossed: float = 0.0
    counting: bool = True
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))
    values: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.rules = quick_rules(experiments=RULES, approval="before-canary")

    def begin(self, planned: ExperimentDefinition | None = None) -> Self:
        """Version 1 live, and the experiment started."""
        self.until_first()
        assert self.order(planned or definition()).accepted, self.records[-1]
        self.tick()
        return self

    def until_first(self) -> Self:
        if self.live != 1:
            self.send(version(1)).approve_first(1)
            self.run(2)
        return self

    def order(
        self, planned: ExperimentDefinition | None, *, action: str = "start-experiment",
        force: bool = False, reason: str = "is it better?",
    ) -> CommandReply:  # fmt: skip
        self.commands += 1
        self.send(
            Command(
                record_id=f"command-{self.commands}", model="m", at=self.now, action=action,  # type: ignore[arg-type]
                reason=reason, who="ann", experiment=planned, force=force,
            )
        )  # fmt: skip
        reply = self.records[-1]
        assert isinstance(reply, CommandReply)
        return reply

    def tick(self) -> Self:
        super().tick()
        experiment = self.state.experiment
        if experiment is not None and experiment.started_at is not None and self.counting:
            self._count_users()
        return self

    def _count_users(self) -> None:
        experiment = self.state.experiment
        assert experiment is not None
        planned = experiment.definition
        if experiment.phase == "running":
            for entry in planned.arms:
                seen = 1.0 - self.lost * (entry.version == 2)
                n = self.rng.poisson(self.users_per_second * entry.share / 10_000 * seen)
                draws = self.rng.random(n) < self.means[entry.version]
                self.values.setdefault(entry.name, []).extend(draws.astype(float))
        arms = []
        for entry in planned.arms:
            values = np.array(self.values.get(entry.name, []))
            crossed = int(self.crossed * len(values)) * (entry.version == 2)
            arms.append(arm_counts(entry.name, values, crossed=crossed))
        self.send(counts_of(planned, *arms, at=self.now))

    @property
    def split(self) -> TrafficSplit:
        return self.serving.router.split

    @property
    def experiment_statuses(self) -> list[ExperimentStatus]:
        return [record for record in self.records if isinstance(record, ExperimentStatus)]

    @property
    def looks(self) -> list[ExperimentLook]:
        return [record for record in self.records if isinstance(record, ExperimentLook)]

    @property
    def last(self) -> ExperimentStatus:
        return self.experiment_statuses[-1]

    def until_ended(self, seconds: int = 5000) -> Self:
        self.until(lambda simulation: simulation.state.experiment is None, seconds)
        return self
