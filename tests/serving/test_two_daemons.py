"""Two daemons with one model, as after a partition of the network: they read one log."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from serving import handlers
from serving.engines.memory import InMemoryServing
from serving.phase import Phase
from serving.state import RolloutState, Transition
from streaming.contracts.codec import encode
from streaming.contracts.records import AnyRecord, CanaryVerdict, Promotion, Record
from tests.serving.rollout_simulation import START, quick_rules, version

RULES = quick_rules(steps=(5, 50), hold_seconds=6.0, bake_seconds=8.0)


@dataclass
class Daemons:
    """Two states beside one set of servers, one router and one log."""

    serving: InMemoryServing
    now: float = START
    states: list[RolloutState] = field(default_factory=lambda: [RolloutState(model="m")] * 2)
    log: list[Record] = field(default_factory=list)
    read: list[int] = field(default_factory=lambda: [0, 0])
    """How much of the log each has read."""
    texts: dict[str, bytes] = field(default_factory=dict)

    def take(self, number: int, step: Transition) -> None:
        self.states[number] = step.state
        for record in step.records:
            text = encode(record)
            assert self.texts.setdefault(record.record_id, text) == text, "two texts of one id"
            self.log.append(record)

    def send(self, record: AnyRecord) -> None:
        for number in (0, 1):
            state = self.states[number]
            self.take(number, handlers.handle(state, record, rules=RULES, now=self.now))

    def tick(self, number: int) -> None:
        """What a daemon does: reads the log, then observes, decides and acts."""
        unread, self.read[number] = self.log[self.read[number] :], len(self.log)
        for record in unread:
            if isinstance(record, Promotion | CanaryVerdict):
                state = self.states[number]
                self.take(number, handlers.handle(state, record, rules=RULES, now=self.now))
        ports = self.serving.ports
        observed = handlers.observe(ports, self.states[number], now=self.now)
        step = handlers.tick(self.states[number], observed, rules=RULES, now=self.now)
        self.take(number, step)
        handlers.perform(step.actions, ports)


@pytest.mark.parametrize("errors", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("seed", range(3))
def test_two_daemons_agree_and_write_one_text_for_each_id(errors: float, seed: int) -> None:
    chance = random.Random(seed)
    serving = InMemoryServing(rate=150.0, seed=seed, errors={2: errors})
    serving.servers.store |= {1, 2}
    serving.started = START
    daemons = Daemons(serving)
    share = 0
    for second in range(300):
        daemons.now += 1.0
        serving.advance_traffic(daemons.now - 0.3)
        if second in (0, 12):
            daemons.send(version(1 if second == 0 else 2))
        for number in (0, 1):
            if chance.random() < 0.6:
                daemons.tick(number)
            split = serving.router.split
            assert split.stable + split.control + split.canary == 100
            failed = any(isinstance(r, CanaryVerdict) and r.outcome == "fail" for r in daemons.log)
            assert not failed or split.canary <= share, "a failed canary gained traffic"
            share = split.canary
    live = [state.live.version for state in daemons.states if state.live is not None]
    assert live == ([1, 1] if errors else [2, 2])
    assert {state.phase for state in daemons.states} == {Phase.IDLE}
