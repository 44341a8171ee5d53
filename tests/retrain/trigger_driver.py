"""Drives the trigger of one model as the daemon does: records and time in, records out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from retrain.handlers import TriggerContext, TriggerState, handle, tick
from retrain.policy import RetrainRules
from streaming.contracts.records import (
    AnyRecord,
    CommandReply,
    DriftVerdict,
    Record,
    RetrainRequest,
)
from tests.retrain.builders import CONTRACT, MODEL, RULES, FakeLabels, promotion, verdict


@dataclass
class TriggerDriver:
    """A daemon with one model. The state is stored and loaded after every step."""

    rules: RetrainRules = RULES
    labels: FakeLabels = field(default_factory=FakeLabels)
    state: TriggerState = field(default_factory=lambda: TriggerState(model=MODEL))
    now: float = 0.0
    published: list[Record] = field(default_factory=list)
    """All records that the trigger has published."""

    @property
    def context(self) -> TriggerContext:
        """The context of the next step."""
        return TriggerContext(rules=self.rules, contract=CONTRACT, labels=self.labels, now=self.now)

    def receive(self, *records: AnyRecord) -> TriggerDriver:
        """Handle records, each at its own time or now, whichever is later."""
        for record in records:
            self.now = max(self.now, record.at)
            transition = handle(self.state, record, self.context)
            self._store(transition.state, transition.records)
        return self

    def wait(self, seconds: float) -> TriggerDriver:
        """Let time pass, then tick."""
        self.now += seconds
        transition = tick(self.state, self.context)
        self._store(transition.state, transition.records)
        return self

    def _store(self, state: TriggerState, records: Sequence[Record]) -> None:
        self.state = msgspec.json.decode(msgspec.json.encode(state), type=TriggerState)
        assert self.state == state
        self.published.extend(records)

    @property
    def requests(self) -> list[RetrainRequest]:
        """The requests published so far."""
        return [record for record in self.published if isinstance(record, RetrainRequest)]

    @property
    def replies(self) -> list[CommandReply]:
        """The replies and announcements published so far."""
        return [record for record in self.published if isinstance(record, CommandReply)]


def live_driver() -> TriggerDriver:
    """Version 1 is live and ten stable windows have been judged against it."""
    driver = TriggerDriver().receive(promotion(1, 1.0, change="initial"))
    return driver.receive(*(verdict(n) for n in range(10))).wait(0.0)


def shifted_driver() -> tuple[TriggerDriver, RetrainRequest]:
    """The live driver after a shift, and the request that it published."""
    driver = live_driver().receive(*shifted_verdicts())
    return driver, driver.requests[0]


def shifted_verdicts() -> tuple[DriftVerdict, ...]:
    """Three alarmed windows after the ten stable ones."""
    return verdict(10, "suspected"), verdict(11, "drifted"), verdict(12, "drifted")
