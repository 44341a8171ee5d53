"""A model begins or ceases to be served here during its rollout: nothing waits for ever, and no
client reaches a version whose gates were not passed here."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import get_args

import msgspec
import pytest

from serving import handlers
from serving.engines.memory import InMemoryServing
from serving.engines.unserved import unserved_ports
from serving.phase import Phase
from serving.ports import ServingPorts
from serving.rules import Approval
from serving.state import RolloutState
from streaming.contracts.records import CanaryVerdict, Command, Promotion, Record
from tests.serving.rollout_simulation import START, quick_rules, version


@dataclass
class Switched:
    """A rollout whose deployment can begin and cease to serve the model, as after a restart."""

    approval: Approval = "never"
    serving: InMemoryServing = field(default_factory=InMemoryServing)
    state: RolloutState = field(default_factory=lambda: RolloutState(model="m"))
    records: list[Record] = field(default_factory=list)
    now: float = START
    commands: int = 0

    def __post_init__(self) -> None:
        self.serving.servers.store |= set(range(1, 60))
        self.serving.started = START
        self.rules = replace(quick_rules(), approval=self.approval)
        self.serve(True)

    def serve(self, served: bool) -> None:
        self.rules = replace(self.rules, served=served)
        elsewhere = unserved_ports(self.serving.references)
        self.ports: ServingPorts = self.serving.ports if served else elsewhere

    def send(self, record: Record) -> None:
        step = handlers.handle(self.state, record, rules=self.rules, now=self.now)  # type: ignore[arg-type]
        self.state, self.records = step.state, [*self.records, *step.records]

    def command(self, action: str) -> None:
        self.commands += 1
        rollout, opened = self.state.rollout, self.state.approval
        decides = action in ("approve", "reject") and opened is not None
        artifact = rollout.candidate.artifact.digest if rollout is not None else ""
        self.send(
            Command(
                record_id=f"command-{self.commands}",
                model="m",
                at=self.now,
                action=action,  # type: ignore[arg-type]
                reason="because",
                who="ann",
                version=rollout.candidate.version if rollout is not None else 0,
                digest=opened.request.digest if decides and opened is not None else artifact,
                subject=opened.request.record_id if decides and opened is not None else "",
            )
        )

    def tick(self) -> None:
        self.now += 1.0
        if self.rules.served:
            self.serving.advance_traffic(self.now - 0.3)
        observed = handlers.observe(self.ports, self.state, now=self.now)
        step = handlers.tick(self.state, observed, rules=self.rules, now=self.now)
        handlers.perform(step.actions, self.ports)
        self.state = msgspec.json.decode(msgspec.json.encode(step.state), type=RolloutState)
        self.records += step.records

    def until(self, phase: Phase, seconds: int = 300) -> None:
        for _ in range(seconds):
            if self.state.phase is phase:
                return
            self.tick()
        raise AssertionError(f"{phase} was not reached; it is {self.state.phase}")

    def first_version(self) -> None:
        """Version 1 goes live; it is approved where approvals are asked for."""
        self.send(version(1))
        if self.approval != "never":
            self.until(Phase.AWAITING_APPROVAL)
            self.command("approve")
        self.until(Phase.IDLE)

    def reach(self, phase: Phase) -> None:
        """Version 1 live, version 2 in this phase, served."""
        self.first_version()
        self.send(version(2))
        if phase is Phase.AWAITING_APPROVAL or self.approval == "before-canary":
            self.until(Phase.AWAITING_APPROVAL)
        if phase is Phase.AWAITING_APPROVAL:
            return
        if self.approval == "before-canary":
            self.command("approve")
        self.until(Phase.STEPPING)
        self.tick()
        if phase is Phase.PAUSED:
            self.command("pause")
        elif phase is Phase.EJECTED:
            self.serving.errors = {2: 1.0}
            self.until(Phase.EJECTED)

    @property
    def clients(self) -> int:
        """The share of the clients' requests that the canary gets here."""
        return self.serving.router.split.canary if self.rules.served else 0

    def promoted(self) -> list[int]:
        return [record.version for record in self.records if isinstance(record, Promotion)]


STOPPED = (Phase.STEPPING, Phase.PAUSED, Phase.EJECTED)
REACHED = [
    *((phase, approval) for phase in STOPPED for approval in get_args(Approval)),
    (Phase.AWAITING_APPROVAL, "before-canary"),
]


@pytest.mark.parametrize(("phase", "approval"), REACHED)
def test_a_rollout_goes_on_when_its_model_is_no_longer_served(
    phase: Phase, approval: Approval
) -> None:
    switched = Switched(approval)
    switched.reach(phase)
    assert switched.state.phase is phase
    switched.serve(False)
    for _ in range(5):
        switched.tick()
    if phase is Phase.STEPPING and approval == "never":
        assert switched.promoted() == [1, 2]
        return
    assert switched.promoted() == [1]  # what a person or an ejection stopped needs a person
    rollout = switched.state.rollout
    assert rollout is not None
    assert (rollout.phase, rollout.approval) == (Phase.AWAITING_APPROVAL, "before-promotion")
    switched.command("approve")
    for _ in range(5):
        switched.tick()
    assert switched.promoted() == [1, 2]


@pytest.mark.parametrize("approved", [False, True])
@pytest.mark.parametrize("phase", [*STOPPED, Phase.PREPARING])
def test_a_rollout_without_a_canary_starts_again_once_its_model_is_served(
    phase: Phase, approved: bool
) -> None:
    switched = Switched("before-promotion")
    if phase is Phase.PREPARING:
        switched.serve(False)
        switched.first_version()
        switched.send(version(2))
    else:
        switched.reach(phase)
        switched.serve(False)
    switched.until(Phase.AWAITING_APPROVAL)
    switched.now += 86_400.0
    switched.serving.errors = {}
    if approved:  # for another place than this deployment's servers
        switched.command("approve")
    switched.serve(True)
    before = len(switched.records)
    switched.until(Phase.STEPPING)
    verdicts = [record for record in switched.records[before:] if isinstance(record, CanaryVerdict)]
    assert [gate.gate for verdict in verdicts for gate in verdict.gates] == [
        "startup",
        "paired",
    ]
    assert switched.state.rollout is not None
    assert switched.state.rollout.step == 0
    switched.until(Phase.AWAITING_APPROVAL)
    assert switched.promoted() == [1]
    switched.command("approve")
    switched.until(Phase.BAKING)
    assert switched.promoted() == [1, 2]


@pytest.mark.parametrize("seed", range(12))
def test_in_any_order_of_switches_and_commands_clients_reach_only_what_passed_here(
    seed: int,
) -> None:
    chance = random.Random(seed)
    switched = Switched(chance.choice(get_args(Approval)))
    switched.first_version()
    newest, passed = 1, set[int]()
    for _ in range(150):
        event = chance.choice(["switch", "version", "bad", "pause", "resume", "approve", "abort"])
        if event == "switch":
            switched.serve(not switched.rules.served)
        elif event == "version":
            newest += 1
            switched.send(version(newest))
        elif event == "bad":
            switched.serving.errors = {newest: chance.choice([0.0, 1.0])}
        else:
            switched.command(event)
        for _ in range(chance.randint(1, 12)):
            before = len(switched.records)
            switched.tick()
            for record in switched.records[before:]:
                if isinstance(record, CanaryVerdict) and record.weight == 0 and record.gates:
                    passed |= {record.version} if switched.rules.served else set()
            if not switched.rules.served:
                assert switched.state.phase not in STOPPED
            if switched.clients:
                live = switched.state.live
                carrier = switched.serving.servers.loaded["canary"]
                assert carrier in passed or (live is not None and carrier == live.version)
    switched.serving.errors = {}
    for served in (False, True):
        switched.serve(served)
        for _ in range(400):
            if switched.state.phase is Phase.AWAITING_APPROVAL:
                switched.command("approve")
            elif switched.state.phase is Phase.PAUSED:
                switched.command("resume")
            switched.tick()
        assert switched.state.phase is Phase.IDLE
