"""Keeps what a tick decided from, so that its records can be computed again (`recompute`).

A tick that decides anything also writes a `RolloutInputs`, in the same step and before the records
that it decided: the blocks and the evidence that are in no earlier one, the rules by their digest,
and the rest of the state. The rules themselves are written once (`RulesInForce`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec
from msgspec.structs import astuple, replace

from serving.compact_state import DecisionState, evidence_digest, pack
from serving.evidence.queries import QueryLook
from serving.rules import RolloutRules
from serving.state import Block, Rollout, RolloutState, SliceBlock, Transition
from serving.tick_input import TickInput
from streaming.contracts.codec import with_text_id
from streaming.contracts.recomputed import rules_digest, rules_in_force
from streaming.contracts.records import EvidenceInputs, QueryValue, Record, RolloutInputs

MAX_UNRECORDED = 128
"""Pieces of evidence that wait for the next decision; with more, they are written without one."""


def with_rules(
    state: RolloutState, rules: RolloutRules, *, code: str, now: float
) -> tuple[RolloutState, tuple[Record, ...]]:
    """The record of the rules, unless it is the one that was written last."""
    if state.rules_digest == digest_of(rules, code):
        return state, ()
    record = rules_in_force("rollout", rules, model=state.model, code=code, at=now)
    return replace(state, rules_digest=record.digest), (record,)


@lru_cache(maxsize=64)
def digest_of(rules: RolloutRules, code: str) -> str:
    """The digest by which inputs name the rules."""
    text = msgspec.json.encode(rules, order="deterministic").decode()
    return rules_digest("rollout", text, code=code)


def note_record(rollout: Rollout, record_id: str, rules: str) -> Rollout:
    """Note that a record was added to the evidence, under the rules of a digest."""
    batches = _open_batch(rollout.unrecorded, rules)
    last = replace(batches[-1], records=(*batches[-1].records, record_id))
    return replace(rollout, unrecorded=(*batches[:-1], last))


def note_looks(rollout: Rollout, looks: Sequence[QueryLook], rules: str) -> Rollout:
    """Note looks at users' queries, in the present period at one weight."""
    if not looks:
        return rollout
    values = tuple(
        QueryValue(
            gate=look.gate,
            at=look.at,
            run=rollout.counts.run,
            canary=look.canary,
            control=look.control,
            problem=look.problem,
            refused=look.refused,
        )
        for look in looks
    )
    batches = _open_batch(rollout.unrecorded, rules)
    last = replace(batches[-1], looks=(*batches[-1].looks, *values))
    return replace(rollout, unrecorded=(*batches[:-1], last))


def _open_batch(batches: tuple[EvidenceInputs, ...], rules: str) -> tuple[EvidenceInputs, ...]:
    if batches and batches[-1].rules_digest == rules:
        return batches
    return (*batches, EvidenceInputs(rules_digest=rules))


def record_inputs(
    before: RolloutState, decided: Transition, tick: TickInput, *, code: str
) -> Transition:
    """Add the inputs of a decision to its records, and note in the state what they hold.

    Parameters
    ----------
    before:
        The state that the tick decided from.
    decided:
        Its decision.
    tick:
        The observation, rules and time that it decided with.
    code:
        Version of the code.
    """
    names = [record.record_id for record in decided.records]
    if decided.state.pending is not None and decided.state.pending != before.pending:
        names.append(decided.state.pending.record_id)
    if not names and not _is_full(before.rollout):
        return decided
    record = _inputs(before, tuple(names), tick, digest_of(tick.rules, code))
    state, rules = with_rules(decided.state, tick.rules, code=code, now=tick.now)
    rollout = state.rollout
    if rollout is not None and rollout.rollout_id == record.rollout_id:
        rollout = replace(
            rollout,
            recorded_id=record.record_id,
            recorded_blocks=record.first_block + len(record.blocks),
            unrecorded=(),
        )
        state = replace(state, rollout=rollout)
    return Transition(
        state=state, records=(*rules, record, *decided.records), actions=decided.actions
    )


def _is_full(rollout: Rollout | None) -> bool:
    if rollout is None:
        return False
    pieces = sum(len(batch.records) + len(batch.looks) for batch in rollout.unrecorded)
    return pieces >= MAX_UNRECORDED


def _inputs(
    before: RolloutState, decided: tuple[str, ...], tick: TickInput, rules: str
) -> RolloutInputs:
    rollout = before.rollout
    record = RolloutInputs(
        record_id="",
        model=before.model,
        at=tick.now,
        rollout_id="",
        version=0,
        decided=decided,
        rules_digest=rules,
        state=pack(DecisionState(state=before, observed=tick.observed)),
    )
    if rollout is not None:
        first = rollout.recorded_blocks
        record = replace(
            record,
            rollout_id=rollout.rollout_id,
            version=rollout.candidate.version,
            caused_by=rollout.caused_by[:1],
            previous=rollout.recorded_id,
            first_block=first,
            blocks=tuple(block_row(block) for block in rollout.counts.blocks[first:]),
            slices=slice_rows(rollout.counts.blocks[first:]),
            evidence=rollout.unrecorded,
            evidence_digest=evidence_digest(rollout.evidence),
        )
    return with_text_id(record, "rollout-inputs")


def block_row(block: Block) -> tuple[int, ...]:
    """The counts of a block without zeros at the end.

    >>> block_row(Block(run=2, step=0, n1=7, n0=8))
    (2, 0, 7, 8)
    """
    run, step, *counts, _ = astuple(block)
    return (run, step, *_without_zeros(counts))


def slice_rows(blocks: Sequence[Block]) -> tuple[tuple[int, str, tuple[int, ...]], ...]:
    """The counts of the slices of blocks, each with the index of its block.

    >>> slice_rows((Block(run=2, step=0), Block(run=2, step=0, slices=(SliceBlock("acme", 7, 8),))))
    ((1, 'acme', (7, 8)),)
    """
    rows = []
    for number, block in enumerate(blocks):
        for part in block.slices:
            name, *counts = astuple(part)
            rows.append((number, name, _without_zeros(counts)))
    return tuple(rows)


def _without_zeros(counts: Sequence[int]) -> tuple[int, ...]:
    """The counts up to the last one that is not zero."""
    length = max((number for number, value in enumerate(counts, start=1) if value), default=0)
    return tuple(counts[:length])


def blocks_of(inputs: RolloutInputs) -> tuple[Block, ...]:
    """The blocks that a record of inputs holds; `block_row` and `slice_rows` are its opposite."""
    slices: dict[int, list[SliceBlock]] = {}
    for number, name, counts in inputs.slices:
        slices.setdefault(number, []).append(SliceBlock(name, *counts))
    return tuple(
        replace(msgspec.convert(row, Block), slices=tuple(slices.get(number, ())))
        for number, row in enumerate(inputs.blocks)
    )
