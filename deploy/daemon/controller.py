"""The controller of one model, without any engine: records and ticks in, records out.

The daemon runs it on Faust, the integration tests on a manual clock. Retrain trigger, rollout and
schema are independent parts with a state each; they learn of each other only through records on the
log. A part decides without the others: what one of them waits for holds up none of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from deploy.daemon.log_history import LogHistory
from retrain import handlers as trigger
from retrain.policy import RetrainRules, budget_left
from retrain.ports import LabelCounter
from retrain.state import TriggerState
from serving import handlers as rollout
from serving.deadlines import ends_at
from serving.desired import weight_in_force
from serving.experiment_control import experiment_phase
from serving.memory_budget import awaits_memory
from serving.phase import Phase
from serving.ports import (
    Action,
    Observation,
    ServingPorts,
    SetTrafficSplit,
)
from serving.recovery import catch_up
from serving.rules import RolloutRules
from serving.state import RolloutState
from streaming.contracts import topics
from streaming.contracts.errors import DriftlineError
from streaming.contracts.experiment_records import ExperimentPhase
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    AnyRecord,
    ApprovalRequest,
    Command,
    CommandReply,
    Record,
)
from streaming.contracts.replies import command_reply
from streaming.contracts.topics import Topic
from streaming.schema import registry as schema
from streaming.schema.registry import SchemaEditor, SchemaState

INPUTS: tuple[Topic, ...] = (
    topics.DRIFT_VERDICTS,
    topics.QUALITY_VERDICTS,
    topics.PREDICTION_SCORES,
    topics.SCHEMA_VERDICTS,
    topics.SCHEMA_VERSIONS,
    topics.RETRAIN_PROGRESS,
    topics.RETRAIN_FAILURES,
    topics.MODEL_VERSIONS,
    topics.CANARY_VERDICTS,
    topics.PROMOTIONS,
    topics.ROLLOUTS,
    topics.EXPERIMENT_COUNTS,
    topics.COMMANDS,
)
"""The topics that the controller reads."""


Part = Literal["rollout", "trigger", "schema"]

PARTS: tuple[Part, ...] = ("rollout", "trigger", "schema")
"""The parts of a controller; the rollout is first, because it moves traffic."""

PartState = RolloutState | TriggerState | SchemaState


class ControllerState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one model's controller."""

    trigger: TriggerState
    rollout: RolloutState
    schema: SchemaState = SchemaState(model="")
    outbox: tuple[AnyRecord, ...] = ()
    """The latest decided records, which may not have been sent before a crash; they are sent again
    as they are. A reader drops what it has seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStep:
    """What a part decided: its next state, and what follows from it."""

    part: Part
    state: PartState
    records: tuple[Record, ...] = ()
    actions: tuple[Action, ...] = ()
    problems: tuple[str, ...] = ()
    """What could not be observed, in sentences."""


@dataclass(slots=True, kw_only=True)
class ModelController:
    """The rules, ports and state of one model.

    `decide_record` and `decide_tick` change nothing; `adopt` takes over what they decided. So the
    caller chooses what is stored, sent and performed in which order. `on_record` and `tick` do all
    of it in one step.
    """

    contract: ModelContract
    retrain_rules: RetrainRules
    rollout_rules: RolloutRules
    labels: LabelCounter
    serving: ServingPorts
    code: str = ""
    """Version of the code, for the record of the rules."""
    schema_text: Callable[[], str] = lambda: ""
    """Reads the schema file beside the model's code; raises `ConfigurationError`."""
    edit_schema: SchemaEditor = lambda text, changes: text
    """Applies changes to a schema's text."""
    history: Callable[[], LogHistory] = LogHistory
    """Reads what the log knows of the model; raises `TemporaryError`."""
    state: ControllerState = field(init=False)
    problems: tuple[str, ...] = ()
    """Failed observations and actions of the latest step; the next step tries again."""
    observed: Observation | None = None
    """The latest observation; `react` uses it, so that a command waits for none."""
    answered: frozenset[str] = frozenset()
    """Ids of commands that have a reply: on the log as the daemon started, and given since. One
    that is delivered again changes nothing."""
    command_barrier: Callable[[Command], str] = lambda command: ""
    """Why a command is refused for who sent it; empty if it is not."""

    def __post_init__(self) -> None:
        self.restore(None)

    @property
    def proposal_waits(self) -> bool:
        """Whether a proposed schema change awaits a decision."""
        return self.state.schema.open_proposal is not None

    @property
    def live_version(self) -> int:
        """The version that serves; 0 for none."""
        live = self.state.rollout.live
        return 0 if live is None else live.version

    @property
    def phase(self) -> Phase:
        """The phase of the rollout; idle without one."""
        return self.state.rollout.phase

    @property
    def canary_weight(self) -> int:
        """The candidate's share of the clients' requests in percent, as Envoy has it in force."""
        return weight_in_force(self.state.rollout, self.rollout_rules)

    @property
    def phase_ends_at(self) -> float | None:
        """When the phase of the rollout ends by itself, seconds since 1970; None without one."""
        rollout = self.state.rollout
        return ends_at(rollout.rollout, self.rollout_rules, rollout.ticked_at)

    @property
    def open_approval(self) -> tuple[ApprovalRequest | None, int]:
        """The request that people are to decide on, and how many of them have not said yes yet."""
        opened = self.state.rollout.approval
        if opened is None:
            return None, 0
        return opened.request, opened.request.people - len(opened.decisions)

    @property
    def waits_for_memory(self) -> bool:
        """Whether the rollout waits for memory of the model servers."""
        return awaits_memory(self.state.rollout.rollout, self.rollout_rules)

    @property
    def experiment(self) -> tuple[ExperimentPhase, float | None, bool]:
        """Phase of the experiment, when it ends by itself, and whether a version waits for it."""
        state = self.state.rollout
        return experiment_phase(state, self.rollout_rules, state.ticked_at)

    @property
    def retrain_running(self) -> bool:
        """Whether a retrain is in flight."""
        return self.state.trigger.running is not None

    @property
    def retrain_times(self) -> tuple[float, float]:
        """Since when and until when a retrain is in flight, seconds since 1970; 0 without one."""
        running = self.state.trigger.running
        return (0.0, 0.0) if running is None else (running.since, running.deadline)

    def retrain_budget_left(self, now: float) -> int:
        """How many retrains may still start within the period of the budget."""
        return budget_left(self.state.trigger.starts, self.retrain_rules, now)

    @property
    def candidate_version(self) -> int:
        """The version in rollout; 0 without one."""
        rollout = self.state.rollout.rollout
        return 0 if rollout is None else rollout.candidate.version

    # ---------------------------------------------------------------- state

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

    def snapshot(self, step: PartStep | None = None, outbox: tuple[Record, ...] = ()) -> bytes:
        """The state as JSON bytes: with what `step` decided, and with the records to be sent."""
        state = msgspec.structs.replace(self.state, outbox=outbox)
        if step is not None:
            state = msgspec.structs.replace(state, **{step.part: step.state})
        return msgspec.json.encode(state)

    def adopt(self, step: PartStep) -> None:
        """Continue from what a step decided."""
        replies = (entry for entry in step.records if isinstance(entry, CommandReply))
        self.answered = self.answered.union(entry.command_id for entry in replies)
        self.state = msgspec.structs.replace(self.state, **{step.part: step.state})

    def catch_up(self, history: LogHistory, *, now: float) -> tuple[PartStep, ...]:
        """Take over what the log knows and the state does not, before anything is decided.

        After a loss of the state these are the live version, what was rejected, the newest version
        that was not rolled out, and the schema's versions.
        """
        self.answered = history.answered
        rollout_step = catch_up(
            self.state.rollout, history.rollouts, rules=self.rollout_rules, now=now
        )
        trigger_state, schema_state = self.state.trigger, self.state.schema
        context = self._trigger_context(now)
        for version in history.schema_versions:
            schema_state = schema.handle(
                schema_state, version, edit=self.edit_schema, now=now
            ).state
        for promotion in history.rollouts.promotions:
            if promotion.at > trigger_state.promoted_at:
                trigger_state = trigger.handle(trigger_state, promotion, context).state
                schema_state = schema.handle(
                    schema_state, promotion, edit=self.edit_schema, now=now
                ).state
        return (
            PartStep(part="rollout", state=rollout_step.state, records=rollout_step.records),
            PartStep(part="trigger", state=trigger_state),
            PartStep(part="schema", state=schema_state),
        )

    # ---------------------------------------------------------------- steps

    def decide_record(self, part: Part, record: AnyRecord, *, now: float) -> PartStep:
        """What a part decides on a record."""
        if isinstance(record, Command):
            if record.record_id in self.answered:
                return PartStep(part=part, state=getattr(self.state, part))
            if barrier := self.command_barrier(record):
                return self._refuse(part, record, barrier, now)
        if part == "rollout":
            state = self.state.rollout
            decided = rollout.handle(
                state, record, rules=self.rollout_rules, now=now, code=self.code
            )
            return PartStep(
                part=part, state=decided.state, records=decided.records, actions=decided.actions
            )
        if part == "trigger":
            step = trigger.handle(self.state.trigger, record, self._trigger_context(now))
            return PartStep(part=part, state=step.state, records=step.records)
        registered = schema.handle(self.state.schema, record, edit=self.edit_schema, now=now)
        return PartStep(part=part, state=registered.state, records=registered.records)

    def _refuse(self, part: Part, command: Command, reason: str, now: float) -> PartStep:
        """The refusal of a command; the rollout's part replies for all of them."""
        reply = command_reply(
            command.record_id, model=command.model, accepted=False, reason=reason, now=now
        )
        records = (reply,) if part == "rollout" else ()
        return PartStep(part=part, state=getattr(self.state, part), records=records)

    def decide_tick(
        self, part: Part, *, now: float, observed: Observation | None = None
    ) -> PartStep:
        """What a part decides as time passes; the rollout needs an observation."""
        if part == "trigger":
            step = trigger.tick(self.state.trigger, self._trigger_context(now))
            return PartStep(part=part, state=step.state, records=step.records)
        if part == "schema":
            return self._schema_tick(now)
        assert observed is not None
        decided = rollout.tick(
            self.state.rollout, observed, rules=self.rollout_rules, now=now, code=self.code
        )
        return PartStep(
            part=part,
            state=decided.state,
            records=decided.records,
            actions=decided.actions,
            problems=observed.problems,
        )

    def observe(self, *, now: float) -> Observation:
        """Read the engines for a tick of the rollout."""
        return rollout.observe(self.serving, self.state.rollout, now=now)

    def react(self, step: PartStep, *, now: float) -> tuple[SetTrafficSplit, ...]:
        """The traffic split that a record demands at once; nothing if the rollout is as before."""
        before = self.state.rollout
        if not isinstance(step.state, RolloutState):
            return ()
        if step.state.rollout is before.rollout and step.state.experiment is before.experiment:
            return ()
        if self.observed is None:
            self.observed = rollout.observe_servers(self.serving, before, now=now)
        return rollout.react(step.state, self.observed, rules=self.rollout_rules)

    def protective(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        """The actions that need not wait until the decision is stored."""
        observed = self.observed
        if observed is None:
            return ()
        return tuple(action for action in actions if rollout.is_protective(action, observed))

    def perform(self, actions: tuple[Action, ...]) -> tuple[str, ...]:
        """Perform the actions; returns the errors of those that failed."""
        problems = rollout.perform(actions, self.serving)
        for action in actions:
            if isinstance(action, SetTrafficSplit) and self.observed is not None and not problems:
                self.observed = msgspec.structs.replace(self.observed, split=action.split)
        return problems

    def on_record(self, record: AnyRecord, *, now: float) -> tuple[Record, ...]:
        """The records that follow from one record; actions are performed."""
        steps = [self.decide_record(part, record, now=now) for part in PARTS]
        actions = (*steps[0].actions, *self.react(steps[0], now=now))
        for step in steps:
            self.adopt(step)
        self.problems = self.perform(actions)
        return tuple(record for step in steps for record in step.records)

    def tick(self, *, now: float) -> tuple[Record, ...]:
        """Observe the engines, decide, and reconcile them with the desired state.

        A part that fails changes nothing and is a problem of its own; the others go on.
        """
        self.observed = self.observe(now=now)
        records: list[Record] = []
        problems: list[str] = []
        for part in PARTS:
            try:
                step = self.decide_tick(part, now=now, observed=self.observed)
            except Exception as error:  # noqa: BLE001 - one part never stops another
                problems.append(f"{error}" or type(error).__name__)
                continue
            self.adopt(step)
            problems += (*step.problems, *self.perform(step.actions))
            records += step.records
        self.problems = tuple(problems)
        return tuple(records)

    def _trigger_context(self, now: float) -> trigger.TriggerContext:
        return trigger.TriggerContext(
            rules=self.retrain_rules, contract=self.contract, labels=self.labels, now=now
        )

    def _schema_tick(self, now: float) -> PartStep:
        """The schema's step, and why its file could not be read; the version in force stays."""
        state = self.state.schema
        try:
            text = self.schema_text()
        except DriftlineError as error:
            return PartStep(part="schema", state=state, problems=(str(error),))
        step = schema.adopt_file(state, text=text, now=now)
        return PartStep(part="schema", state=step.state, records=step.records)
