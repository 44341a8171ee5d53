"""A model that is monitored here and served elsewhere: versions, promotions, no canary."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from serving import handlers
from serving.engines.memory import InMemoryReferences
from serving.engines.unserved import unserved_ports
from serving.phase import Phase
from serving.ports import ROLES, TrafficSplit
from serving.rules import Approval, RolloutRules
from serving.state import RolloutState
from streaming.contracts.records import CanaryVerdict, Command, Promotion, Record
from tests.serving.rollout_simulation import version


class Monitored:
    """The rollout of a monitored model over its ports."""

    def __init__(self, approval: Approval) -> None:
        self.rules = replace(RolloutRules(approval=approval), served=False)
        self.references = InMemoryReferences()
        self.ports = unserved_ports(self.references)
        self.state = RolloutState(model="m")
        self.records: list[Record] = []
        self.now = 1_000.0

    def send(self, record: Record) -> None:
        step = handlers.handle(self.state, record, rules=self.rules, now=self.now)  # type: ignore[arg-type]
        self.state, self.records = step.state, [*self.records, *step.records]

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1.0
            observed = handlers.observe(self.ports, self.state, now=self.now)
            step = handlers.tick(self.state, observed, rules=self.rules, now=self.now)
            self.state, self.records = step.state, [*self.records, *step.records]
            assert handlers.perform(step.actions, self.ports) == ()

    def approve(self) -> None:
        """An engineer approves what is open."""
        opened = self.state.approval
        assert opened is not None
        self.send(
            Command(
                record_id=f"approve-{self.now}",
                model="m",
                at=self.now,
                action="approve",
                reason="deployed",
                who="ann",
                subject=opened.request.record_id,
                digest=opened.request.digest,
            )
        )

    def promoted(self) -> list[int]:
        return [record.version for record in self.records if isinstance(record, Promotion)]


@pytest.mark.parametrize("approval", get_args(Approval))
def test_the_first_version_is_promoted_with_its_reference(approval: Approval) -> None:
    monitored = Monitored(approval)
    monitored.send(version(1))
    monitored.run(5)
    if approval != "never":
        assert monitored.promoted() == []
        monitored.approve()
        monitored.run(5)
    (promotion,) = [record for record in monitored.records if isinstance(record, Promotion)]
    assert promotion.reference is not None
    assert monitored.state.phase is Phase.IDLE


def test_later_versions_need_no_canary() -> None:
    monitored = Monitored("never")
    for number in (1, 2, 3):
        monitored.send(version(number))
        monitored.run(12)
    assert monitored.promoted() == [1, 2, 3]
    gates = [record for record in monitored.records if isinstance(record, CanaryVerdict)]
    assert {record.weight for record in gates} == {0}
    assert monitored.state.rollout is None  # nothing bakes where nothing is served


@pytest.mark.parametrize("approval", ["before-canary", "before-promotion"])
def test_an_engineer_says_when_a_version_is_in_use(approval: Approval) -> None:
    monitored = Monitored(approval)
    monitored.send(version(1))
    monitored.run(5)
    monitored.approve()
    monitored.run(5)
    monitored.send(version(2))
    monitored.run(1_000)  # however long it takes, there is no deadline and no rollback
    assert monitored.promoted() == [1]
    assert monitored.state.phase is Phase.AWAITING_APPROVAL
    monitored.approve()
    monitored.run(5)
    assert monitored.promoted() == [1, 2]


def test_the_ports_confirm_what_was_asked_and_touch_nothing() -> None:
    ports = unserved_ports(InMemoryReferences())
    split = TrafficSplit(stable=80, control=10, canary=10)
    ports.router.apply(split)
    assert ports.router.current_split() == split
    for number, role in enumerate(ROLES, 1):
        assert ports.servers.status(role).versions == ()
        ports.servers.load(role, number)
        (status,) = ports.servers.status(role).versions
        assert (status.version, status.state) == (number, "available")
    assert ports.metrics.scrapes(since=0.0, now=9.0) == ()
