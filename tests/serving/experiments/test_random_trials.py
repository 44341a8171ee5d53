"""Random trials with experiments among rollouts, faults, clocks and crashes: all come to rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from serving.engines.memory import InMemoryModelServers
from serving.experiment_rules import ExperimentRules
from serving.ports import ALL_STABLE, Observation, Role, TrafficSplit
from streaming.contracts.records import Command, CommandReply, ExperimentStatus
from tests.serving.experiments.experiment_world import arm, arm_counts, counts_of, definition
from tests.serving.random_trial import Trial

TRIALS, PARTS = 60, 3
RULES = ExperimentRules(
    min_users=50, prepare_seconds=12.0, silent_seconds=20.0, uncounted_seconds=30.0,
    epoch_seconds=20.0,
)  # fmt: skip
ENDS = ("better", "worse", "no-gain", "no-difference", "insufficient", "error", "stopped")


@dataclass(slots=True)
class WatchedServers(InMemoryModelServers):
    """Servers that notice when a version is replaced while users of an experiment meet it.

    Envoy takes up new routes a little later, so those at the beginning of a tick count. While it
    does not answer, nobody can tell; the champion may then be loaded for the users' way back.
    """

    in_force: TrafficSplit = ALL_STABLE

    def load(self, role: Role, version: int) -> None:
        experiment = self.in_force.experiment
        if experiment is not None and role != "stable":
            used = [entry.version for entry in experiment.arms if entry.arm == role]
            assert version in (used or [version]), f"version {version} replaces one in use"
        InMemoryModelServers.load(self, role, version)


@dataclass
class ExperimentTrial(Trial):
    """A trial in which experiments are started and stopped, too."""

    started: int = 0
    users: list[int] = field(default_factory=lambda: [0, 0, 0])

    def __post_init__(self) -> None:
        super().__post_init__()
        self.rules = replace(self.rules, experiments=RULES)
        self.servers = WatchedServers()
        self.serving.servers = self.servers

    def publish_version(self) -> None:
        """The first version is live before anything happens, and two more can be met by users."""
        super().publish_version()
        if self.newest == 1:
            self.servers.store |= {101, 102}
            deadline = self.now + 600.0
            while self.state.live is None:
                assert self.now < deadline, "the first version does not go live"
                self.approve()
                self.tick()

    def do(self, event: Callable[[Trial], None]) -> None:
        chosen = self.chance.random()
        if chosen < 0.35:
            self.events.append(f"{self.now:.0f} start experiment")
            self.start_experiment()
        elif chosen < 0.4:
            self.events.append(f"{self.now:.0f} stop experiment")
            self.order("stop-experiment", None)
        else:
            super().do(event)

    def start_experiment(self) -> None:
        live = self.state.live.version if self.state.live is not None else 1
        others = [101, 102, self.chance.randint(live + 1, live + 2)]
        chosen = self.chance.sample(others, min(len(others), self.chance.choice([1, 1, 2])))
        begin = self.now + self.chance.choice([0.0, 0.0, 15.0])
        planned = definition(
            arms=(arm("champion", live, 3000), *(arm(f"v{n}", n, 3000) for n in chosen)),
            begin=begin, end=begin + self.chance.choice([10.0, 60.0]), min_users=50,
        )  # fmt: skip
        self.order("start-experiment", planned)

    def order(self, action: str, planned: object) -> None:
        self.commands += 1
        command = Command(
            record_id=f"experiment-command-{self.commands}", model="m", at=self.now,
            action=action, reason="because", who="ann", experiment=planned,  # type: ignore[arg-type]
            force=self.chance.random() < 0.3,
        )  # fmt: skip
        self.deliver(command)
        reply = self.log.records[-1]
        assert isinstance(reply, CommandReply)
        if action == "start-experiment" and reply.accepted:
            self.started += 1
            self.users = [0, 0, 0]

    def tick(self, seconds: float = 1.0, *, crash: str = "") -> None:
        router = self.serving.router
        self.servers.in_force = ALL_STABLE if router.down else router.split
        super().tick(seconds, crash=crash)
        experiment = self.state.experiment
        if experiment is None or experiment.started_at is None or self.chance.random() < 0.3:
            return
        arms = []
        for number, entry in enumerate(experiment.definition.arms):
            self.users[number] += self.chance.randint(0, 40)
            values = np.full(self.users[number], 0.5)
            values[: self.chance.randint(0, len(values))] = 1.0
            arms.append(arm_counts(entry.name, values))
        self.deliver(counts_of(experiment.definition, *arms, at=self.now))

    def check_traffic(self, observed: Observation) -> None:
        super().check_traffic(observed)
        split, experiment = self.serving.router.split, self.state.experiment
        if split.experiment is None or self.serving.router.down:
            return
        assert self.state.rollout is None or experiment is None or experiment.phase != "running"

    def come_to_rest(self) -> None:
        scheduled = self.state.experiment
        if scheduled is not None and scheduled.phase == "scheduled":  # the clock went back
            self.now = max(self.now, scheduled.definition.begin)
        end = self.now + 1200.0
        while self.state.experiment is not None:
            assert self.now < end, f"the experiment does not end: {self.state.experiment}"
            self.tick(3.0)
        super().come_to_rest()
        assert self.serving.router.split.experiment is None
        ended = [
            record
            for record in self.log.records
            if isinstance(record, ExperimentStatus) and record.phase == "ended"
        ]
        assert all(record.outcome in ENDS for record in ended)
        assert all(record.winner == 0 or record.outcome == "better" for record in ended)


@pytest.mark.parametrize("part", range(PARTS))
def test_random_trials_with_experiments_come_to_rest(part: int) -> None:
    broken, started = [], 0
    for seed in range(part, TRIALS, PARTS):
        trial = ExperimentTrial(seed=seed)
        try:
            trial.run()
        except AssertionError as error:
            broken.append(str(error))
        started += trial.started
    assert not broken, f"{len(broken)} trials: " + "\n".join(broken)
    assert started > 10
