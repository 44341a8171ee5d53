"""The controller of one model, without any engine: records and ticks in, records out.

The daemon runs it on Faust, the integration tests on a manual clock. Retrain trigger, rollout and
schema are independent states; they learn of each other only through records on the log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from retrain import handlers as trigger
from retrain.policy import RetrainRules
from retrain.ports import LabelCounter
from retrain.state import TriggerState
from serving import handlers as rollout
from serving.ports import ServingPorts
from serving.rules import RolloutRules
from serving.state import RolloutState
from streaming.contracts import topics
from streaming.contracts.errors import DriftlineError
from streaming.contracts.model import ModelContract
from streaming.contracts.records import AnyRecord, Record
from streaming.contracts.topics import Topic
from streaming.schema import registry as schema
from streaming.schema.registry import SchemaEditor, SchemaState

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
"""The topics that the controller reads."""


class ControllerState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one model's controller."""

    trigger: TriggerState
    rollout: RolloutState
    schema: SchemaState = SchemaState(model="")


@dataclass(slots=True, kw_only=True)
class ModelController:
    """The rules, ports and state of one model."""

    contract: ModelContract
    retrain_rules: RetrainRules
    rollout_rules: RolloutRules
    labels: LabelCounter
    serving: ServingPorts
    schema_text: Callable[[], str] = lambda: ""
    """Reads the schema file beside the model's code; raises `ConfigurationError`."""
    edit_schema: SchemaEditor = lambda text, changes: text
    """Applies changes to a schema's text."""
    state: ControllerState = field(init=False)
    problems: tuple[str, ...] = ()
    """Failed observations and actions of the latest step; the next step tries again."""

    def __post_init__(self) -> None:
        self.restore(None)

    @property
    def proposal_waits(self) -> bool:
        """Whether a proposed schema change awaits a decision."""
        return self.state.schema.open_proposal is not None

    def restore(self, snapshot: bytes | None) -> None:
        """Continue from a snapshot; None starts afresh."""
        if snapshot:
            self.state = msgspec.json.decode(snapshot, type=ControllerState)
        else:
            model = self.contract.model
            self.state = ControllerState(
                trigger=TriggerState(model=model), rollout=RolloutState(model=model)
            )
        if not self.state.schema.model:  # a fresh state, or one of an older daemon
            schema_state = SchemaState(model=self.contract.model)
            self.state = msgspec.structs.replace(self.state, schema=schema_state)

    def snapshot(self) -> bytes:
        """The state as JSON bytes."""
        return msgspec.json.encode(self.state)

    def on_record(self, record: AnyRecord, *, now: float) -> tuple[Record, ...]:
        """The records that follow from one record; actions are performed."""
        trigger_step = trigger.handle(self.state.trigger, record, self._trigger_context(now))
        rollout_step = rollout.handle(self.state.rollout, record, rules=self.rollout_rules, now=now)
        schema_step = schema.handle(self.state.schema, record, edit=self.edit_schema, now=now)
        self.state = ControllerState(
            trigger=trigger_step.state, rollout=rollout_step.state, schema=schema_step.state
        )
        self.problems = rollout.perform(rollout_step.actions, self.serving)
        return (*trigger_step.records, *rollout_step.records, *schema_step.records)

    def tick(self, *, now: float) -> tuple[Record, ...]:
        """Observe the engines, decide, and reconcile them with the desired state."""
        trigger_step = trigger.tick(self.state.trigger, self._trigger_context(now))
        observed = rollout.observe(self.serving, self.state.rollout, now=now)
        rollout_step = rollout.tick(self.state.rollout, observed, rules=self.rollout_rules, now=now)
        schema_step, schema_problems = self._schema_tick(now)
        self.state = ControllerState(
            trigger=trigger_step.state, rollout=rollout_step.state, schema=schema_step.state
        )
        failures = rollout.perform(rollout_step.actions, self.serving)
        self.problems = (*observed.problems, *failures, *schema_problems)
        return (*trigger_step.records, *rollout_step.records, *schema_step.records)

    def _trigger_context(self, now: float) -> trigger.TriggerContext:
        return trigger.TriggerContext(
            rules=self.retrain_rules, contract=self.contract, labels=self.labels, now=now
        )

    def _schema_tick(self, now: float) -> tuple[schema.RegistryStep, tuple[str, ...]]:
        """The schema's step, and why its file could not be read; the version in force stays."""
        try:
            text = self.schema_text()
        except DriftlineError as error:
            return schema.RegistryStep(self.state.schema), (str(error),)
        return schema.adopt_file(self.state.schema, text=text, now=now), ()
