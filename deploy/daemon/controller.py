"""The control loop of one model, without any engine: records and ticks in, records out.

The daemon runs it on Faust, the walk in the tests on a manual clock. Trigger policy, rollout
and schema are independent states; they hear of each other only through records on the log.
"""

from __future__ import annotations

from collections.abc import Callable
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
from streaming.contracts.errors import DriftlineError
from streaming.contracts.model import ModelContract
from streaming.contracts.records import AnyRecord, Record
from streaming.contracts.topics import Topic
from streaming.schema import registry as schema
from streaming.schema.registry import Editor, SchemaState

INPUTS: tuple[Topic, ...] = (
    topics.DRIFT_VERDICTS,
    topics.QUALITY_VERDICTS,
    topics.SCHEMA_VERDICTS,
    topics.SCHEMA_VERSIONS,
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
    schema: SchemaState = SchemaState(model="")


@dataclass(slots=True, kw_only=True)
class ModelLoop:
    """One model: its rules, its ports and its state."""

    contract: ModelContract
    retrain_rules: RetrainRules
    rollout_rules: RolloutRules
    labels: LabelProgress
    serving: Ports
    schema_text: Callable[[], str] = lambda: ""
    """The schema beside the model's code as it is now; raises `ConfigurationError`."""
    edit_schema: Editor = lambda text, changes: text
    """A schema's text with changes made."""
    state: LoopState = field(init=False)
    problems: tuple[str, ...] = ()
    """What the latest step could not see or do; the next one tries again."""

    def __post_init__(self) -> None:
        self.restore(None)

    @property
    def proposal_waits(self) -> bool:
        """Whether a proposed schema change awaits a decision."""
        offered = self.state.schema.offered
        return offered is not None and offered.state == "open"

    def restore(self, snapshot: bytes | None) -> None:
        """Take up a remembered state; None is the beginning."""
        if snapshot:
            self.state = msgspec.json.decode(snapshot, type=LoopState)
        else:
            model = self.contract.model
            self.state = LoopState(
                trigger=TriggerState(model=model), rollout=RolloutState(model=model)
            )
        if not self.state.schema.model:  # the beginning, or remembered by an older daemon
            schema_state = SchemaState(model=self.contract.model)
            self.state = msgspec.structs.replace(self.state, schema=schema_state)

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
        schemed = schema.handle(self.state.schema, record, edit=self.edit_schema, now=now)
        self.state = LoopState(trigger=asked.state, rollout=rolled.state, schema=schemed.state)
        self.problems = rollout.perform(rolled.actions, self.serving)
        return (*asked.records, *rolled.records, *schemed.records)

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
        schemed, unread = self._schema_tick(now)
        self.state = LoopState(trigger=asked.state, rollout=rolled.state, schema=schemed.state)
        undone = rollout.perform(rolled.actions, self.serving)
        self.problems = (*observed.problems, *undone, *unread)
        return (*asked.records, *rolled.records, *schemed.records)

    def _schema_tick(self, now: float) -> tuple[schema.SchemaStep, tuple[str, ...]]:
        """The schema's step, and why its file could not be read; the version in force stays."""
        try:
            text = self.schema_text()
        except DriftlineError as error:
            return schema.SchemaStep(self.state.schema), (str(error),)
        return schema.tick(self.state.schema, file=text, now=now), ()
