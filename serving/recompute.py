"""Computes the records of rollouts again from records alone, and compares them with the log.

The decision of a tick (`rollout.decide`) runs again, on the blocks, the evidence, the rules and the
state that its `RolloutInputs` keep. What it decides must be what the log has, byte for byte. Blocks
and evidence are spread over the records of inputs of a rollout, which lead to each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from serving.compact_state import DecisionState, evidence_digest, unpack
from serving.evidence.collected import RolloutEvidence, add_record, rules_for
from serving.evidence.queries import QueryLook, add_looks
from serving.inputs import blocks_of
from serving.rollout import decide
from serving.rules import RolloutRules
from serving.state import Block, RolloutState
from serving.tick_input import TickInput
from streaming.contracts.codec import with_text_id
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.recomputed import (
    ChangedInputError,
    MissingInputError,
    Recomputed,
    equal_or_different,
    not_recomputed,
    rules_digest,
)
from streaming.contracts.records import (
    AnswerComparison,
    AnyRecord,
    CanaryVerdict,
    EvidenceInputs,
    Promotion,
    QueryValue,
    Record,
    RolloutInputs,
    RolloutStatus,
    RulesInForce,
)

RECOMPUTED = (CanaryVerdict, RolloutStatus, AnswerComparison, Promotion)
"""The records that a tick decides."""
UNRECORDED = (
    "No record of inputs names it: it was written before inputs were kept, or they are beyond "
    "retention."
)


@dataclass(frozen=True, slots=True)
class _Material:
    """The blocks and the evidence of a rollout up to one record of inputs."""

    blocks: tuple[Block, ...] = ()
    evidence: RolloutEvidence = field(default_factory=RolloutEvidence)


class RolloutReplay:
    """The rollouts of one model, from the records of the log.

    Parameters
    ----------
    records:
        By id: whatever the inputs may name. Versions, promotions, comparisons, prediction scores,
        quality verdicts.
    inputs:
        The records of inputs, in any order.
    rules:
        The records of rules.
    """

    def __init__(
        self,
        records: Mapping[str, AnyRecord],
        inputs: Iterable[RolloutInputs],
        rules: Iterable[RulesInForce],
    ) -> None:
        self._records = records
        self._inputs = {record.record_id: record for record in inputs}
        self._rules = {record.digest: record for record in rules if record.subject == "rollout"}
        self._by_decided: dict[str, list[RolloutInputs]] = {}
        for record in self._inputs.values():
            for name in record.decided:
                self._by_decided.setdefault(name, []).append(record)
        self._materials: dict[str, _Material] = {}
        self._decisions: dict[str, tuple[Record, ...]] = {}

    def recompute(self, recorded: Record) -> Recomputed:
        """Compute one record again, and compare.

        After a crash a promotion may have been decided twice, before the state was stored: it is
        equal to what one of the decisions gives.
        """
        result = not_recomputed(recorded, UNRECORDED)
        for inputs in self._by_decided.get(recorded.record_id, ()):
            result = self._recompute(recorded, inputs)
            if result.outcome == "equal":
                break
        return result

    def _recompute(self, recorded: Record, inputs: RolloutInputs) -> Recomputed:
        rules = self._rules.get(inputs.rules_digest)
        code = rules.code if rules is not None else ""
        try:
            computed = self._decided(inputs)
        except (MissingInputError, ChangedInputError) as error:
            return not_recomputed(recorded, error, code=code)
        number = inputs.decided.index(recorded.record_id)
        again = computed[number] if number < len(computed) else None
        same_kind = isinstance(again, type(recorded))
        return equal_or_different(recorded, again if same_kind else None, code=code)

    # ------------------------------------------------------------ one decision

    def _decided(self, inputs: RolloutInputs) -> tuple[Record, ...]:
        """What the tick decides: its records, and the promotion that the next tick writes."""
        if inputs.record_id not in self._decisions:
            rules = self._rules_of(inputs.rules_digest)
            decision = self._decision(inputs)
            tick = TickInput(observed=decision.observed, rules=rules, now=inputs.at)
            decided = decide(decision.state, tick)
            pending = decided.state.pending
            later = () if pending is None or pending == decision.state.pending else (pending,)
            self._decisions[inputs.record_id] = (*decided.records, *later)
        return self._decisions[inputs.record_id]

    def _decision(self, inputs: RolloutInputs) -> DecisionState:
        """State and observation, with blocks, evidence and the comparison put back."""
        decision = unpack(inputs.state, self._records)
        state, observed = decision.state, decision.observed
        if state.rollout is not None:
            material = self._material(inputs, state)
            if evidence_digest(material.evidence) != inputs.evidence_digest:
                raise ChangedInputError(
                    "The scores, labels and query values on the log give other evidence than it "
                    f"was decided with (inputs {inputs.record_id}): some were changed, or came "
                    "before inputs were kept."
                )
            counts = replace(state.rollout.counts, blocks=material.blocks)
            rollout = replace(state.rollout, counts=counts, evidence=material.evidence)
            state = replace(state, rollout=rollout)
        for name in inputs.decided:
            record = self._records.get(name)
            if isinstance(record, AnswerComparison):
                observed = replace(observed, answers=record.comparison)
        return DecisionState(state=state, observed=observed)

    def _rules_of(self, digest: str) -> RolloutRules:
        record = self._rules.get(digest)
        if record is None:
            raise MissingInputError(f"The rules {digest} are not on the log.")
        if rules_digest("rollout", record.text, code=record.code) != digest:
            raise ChangedInputError(
                f"The rules {digest} were changed: their digest is not that of their text."
            )
        try:
            return msgspec.json.decode(record.text, type=RolloutRules)
        except (msgspec.MsgspecError, ConfigurationError) as error:
            raise MissingInputError(f"The rules {digest} cannot be read: {error}") from error

    # ------------------------------------------------------- blocks, evidence

    def _material(self, inputs: RolloutInputs, state: RolloutState) -> _Material:
        """Blocks and evidence up to and with a record of inputs."""
        chain: list[RolloutInputs] = []
        current = inputs
        while current.record_id not in self._materials:
            _check_text(current)
            chain.append(current)
            if not current.previous:
                break
            before = self._inputs.get(current.previous)
            if before is None:
                raise MissingInputError(
                    f"The inputs {current.previous} of the same rollout are not on the log, and "
                    "with them its earlier blocks."
                )
            current = before
        for entry in reversed(chain):
            earlier = self._materials[entry.previous] if entry.previous else _Material()
            self._materials[entry.record_id] = self._with_inputs(earlier, entry, state)
        return self._materials[inputs.record_id]

    def _with_inputs(
        self, before: _Material, inputs: RolloutInputs, state: RolloutState
    ) -> _Material:
        if inputs.first_block != len(before.blocks):
            raise MissingInputError(
                f"The inputs {inputs.record_id} begin with block {inputs.first_block}, and "
                f"{len(before.blocks)} are recorded before."
            )
        evidence = before.evidence
        for batch in inputs.evidence:
            evidence = self._with_evidence(evidence, batch, state)
        blocks = (*before.blocks, *blocks_of(inputs))
        return _Material(blocks=blocks, evidence=evidence)

    def _with_evidence(
        self, evidence: RolloutEvidence, batch: EvidenceInputs, state: RolloutState
    ) -> RolloutEvidence:
        assert state.rollout is not None
        rollout = state.rollout
        rules = rules_for(rollout.candidate, self._rules_of(batch.rules_digest).evidence)
        for name in batch.records:
            record = self._records.get(name)
            if record is None:
                raise MissingInputError(f"Record {name}, evidence of it, is not on the log.")
            evidence = add_record(
                evidence,
                record,
                canary=rollout.candidate.version,
                champion=rollout.champion,
                rules=rules,
            )
        queries = evidence.queries
        for value in batch.looks:
            queries = add_looks(queries, (_look(value),), run=value.run, rules=rules)
        return replace(evidence, queries=queries)


def _look(value: QueryValue) -> QueryLook:
    return QueryLook(
        gate=value.gate,
        at=value.at,
        canary=value.canary,
        control=value.control,
        problem=value.problem,
        refused=value.refused,
    )


def _check_text(inputs: RolloutInputs) -> None:
    """Refuse inputs whose text is not the one that their id was made of."""
    bare: RolloutInputs = replace(inputs, record_id="")
    if with_text_id(bare, "rollout-inputs").record_id != inputs.record_id:
        raise ChangedInputError(
            f"The inputs {inputs.record_id} were changed: their id is not that of their text."
        )


def recompute_all(
    recorded: Sequence[Record],
    records: Mapping[str, AnyRecord],
    inputs: Iterable[RolloutInputs],
    rules: Iterable[RulesInForce],
) -> tuple[Recomputed, ...]:
    """Every verdict, status, comparison and promotion among `recorded`, computed again."""
    replay = RolloutReplay(records, inputs, rules)
    return tuple(replay.recompute(entry) for entry in recorded if isinstance(entry, RECOMPUTED))
