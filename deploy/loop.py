"""The control loop of one model, without any engine: records and ticks in, records out.

The daemon runs it on Faust, the walk in the tests on a manual clock. Trigger policy and rollout
are two independent states; they hear of each other only through records on the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from retrain import handlers as trigger
from retrain.policy import RetrainRules
from retrain.ports import LabelProgress
from retrain.state import TriggerState
from serving import handlers as rollout
from serving.ports import Ports
from serving.rules import RolloutRules
from serving.state import RolloutState
from streaming.contracts import topics
from streaming.contracts.model import ModelContract
from streaming.contracts.records import AnyRecord, Record
from streaming.contracts.topics import Topic

INPUTS: tuple[Topic, ...] = (
    topics.DRIFT_VERDICTS,
    topics.QUALITY_VERDICTS,
    topics.RETRAIN_PROGRESS,
    topics.RETRAIN_FAILURES,
    topics.MODEL_VERSIONS,
    topics.CANARY_VERDICTS,
    topics.PROMOTIONS,
    topics.ROLLOUTS,
    topics.COMMANDS,
)
"""What the loop listens to."""


class LoopState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the loop of one model remembers."""

    trigger: TriggerState
    rollout: RolloutState


@dataclass(slots=True, kw_only=True)
class ModelLoop:
    """One model: its rules, its ports and its state."""

    contract: ModelContract
    retrain_rules: RetrainRules
    rollout_rules: RolloutRules
    labels: LabelProgress
    serving: Ports
    state: LoopState = field(init=False)
    problems: tuple[str, ...] = ()
    """What the latest step could not see or do; the next one tries again."""

    def __post_init__(self) -> None:
        self.restore(None)

    def restore(self, snapshot: bytes | None) -> None:
        """Take up a remembered state; None is the beginning."""
        if snapshot:
            self.state = msgspec.json.decode(snapshot, type=LoopState)
        else:
            model = self.contract.model
            self.state = LoopState(
                trigger=TriggerState(model=model), rollout=RolloutState(model=model)
            )

    def snapshot(self) -> bytes:
        """The state as bytes."""
        return msgspec.json.encode(self.state)

    def on_record(self, record: AnyRecord, *, now: float) -> tuple[Record, ...]:
        """What a record leads to."""
        asked = trigger.handle(
            self.state.trigger,
            record,
            rules=self.retrain_rules,
            contract=self.contract,
            labels=self.labels,
            now=now,
        )
        rolled = rollout.handle(self.state.rollout, record, rules=self.rollout_rules, now=now)
        self.state = LoopState(trigger=asked.state, rollout=rolled.state)
        self.problems = rollout.perform(rolled.actions, self.serving)
        return (*asked.records, *rolled.records)

    def tick(self, *, now: float) -> tuple[Record, ...]:
        """Observe, decide, repair."""
        asked = trigger.tick(
            self.state.trigger,
            rules=self.retrain_rules,
            contract=self.contract,
            labels=self.labels,
            now=now,
        )
        observed = rollout.observe(self.serving, self.state.rollout, now=now)
        rolled = rollout.tick(self.state.rollout, observed, rules=self.rollout_rules, now=now)
        self.state = LoopState(trigger=asked.state, rollout=rolled.state)
        undone = rollout.perform(rolled.actions, self.serving)
        self.problems = (*observed.problems, *undone)
        return (*asked.records, *rolled.records)
