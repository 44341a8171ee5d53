"""A whole rollout in memory, one tick a second: what the stories and the machine are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from serving import handlers
from serving.engines.memory import MemoryWorld
from serving.rules import RolloutRules
from serving.state import RolloutState
from streaming.contracts.records import (
    Action,
    AnyRecord,
    Artifact,
    CanaryVerdict,
    Command,
    CommandReply,
    ModelVersion,
    Promotion,
    Record,
    RolloutStatus,
)

START = 1_000_000.0
QUICK = RolloutRules(steps=(5, 25, 50, 100), hold_seconds=10.0, bake_seconds=20.0)


def version(number: int, *, blessed: bool = True) -> ModelVersion:
    return ModelVersion(
        record_id=f"version-{number}",
        model="m",
        at=START,
        version=number,
        request_id=f"request-{number}",
        artifact=Artifact(uri=f"memory:{number}", digest=f"digest-{number}"),
        base_version=number - 1,
        blessed=blessed,
        reason="",
        evaluation=(),
        components=(),
        training_rows=1,
        window_start=float(number),
        window_end=float(number + 1),
        load_seconds=0.1,
        warm_predict_seconds=0.01,
    )


@dataclass
class Story:
    """The controller in a memory world."""

    world: MemoryWorld = field(default_factory=MemoryWorld)
    rules: RolloutRules = QUICK
    state: RolloutState = field(default_factory=lambda: RolloutState(model="m"))
    records: list[Record] = field(default_factory=list)
    now: float = START
    commands: int = 0

    def __post_init__(self) -> None:
        self.world.servers.store |= {1, 2, 3, 4}
        self.world.started = START

    def send(self, record: AnyRecord) -> Story:
        step = handlers.handle(self.state, record, rules=self.rules, now=self.now)
        self.state = step.state
        self.records += step.records
        handlers.perform(step.actions, self.world.ports)
        return self

    def ask(self, action: Action, number: int = 0, digest: str = "") -> CommandReply:
        self.commands += 1
        command = Command(
            record_id=f"command-{self.commands}",
            model="m",
            at=self.now,
            action=action,
            reason="because",
            who="ann",
            version=number,
            digest=digest,
        )
        self.send(command)
        answer = self.records[-1]
        assert isinstance(answer, CommandReply)
        return answer

    def tick(self) -> Story:
        self.now += 1.0
        self.world.flow(self.now - 0.3)
        observed = handlers.observe(self.world.ports, self.state, now=self.now)
        step = handlers.tick(self.state, observed, rules=self.rules, now=self.now)
        # What is remembered must survive the way through JSON.
        self.state = msgspec.json.decode(msgspec.json.encode(step.state), type=RolloutState)
        self.records += step.records
        handlers.perform(step.actions, self.world.ports)
        return self

    def run(self, seconds: int) -> Story:
        for _ in range(seconds):
            self.tick()
        return self

    def until(self, true: Callable[[Story], bool], seconds: int = 900) -> Story:
        for _ in range(seconds):
            if true(self):
                return self
            self.tick()
        raise AssertionError(f"never true; {self.phase}: {self.statuses[-1:]}")

    def canarying(self) -> Story:
        """Version 1 live, version 2 at the first weight."""
        self.send(version(1)).until(lambda story: story.live == 1)
        self.send(version(2)).until(lambda story: story.phase != "preparing")
        return self

    @property
    def live(self) -> int:
        return self.state.live.version if self.state.live is not None else 0

    @property
    def phase(self) -> str:
        return self.state.rollout.phase if self.state.rollout is not None else "idle"

    @property
    def canary(self) -> int:
        return self.world.splitter.split.canary

    @property
    def promotions(self) -> list[Promotion]:
        return [record for record in self.records if isinstance(record, Promotion)]

    @property
    def verdicts(self) -> list[CanaryVerdict]:
        return [record for record in self.records if isinstance(record, CanaryVerdict)]

    @property
    def statuses(self) -> list[RolloutStatus]:
        return [record for record in self.records if isinstance(record, RolloutStatus)]
