"""Judges the counts of a rollout at its weight or in its bake, and writes the verdicts."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

from msgspec.structs import replace

from serving.counts import blocks_before
from serving.desired import serves
from serving.evidence.collected import deciding, failing, judge_evidence, rules_for
from serving.gates import judge_gates
from serving.phase import Phase
from serving.report import verdict_record
from serving.rules import RolloutRules
from serving.state import ArmCounts, Block, RollbackCause, Rollout, RolloutState
from serving.tick_input import Change, TickInput
from serving.transitions import roll_back
from serving.verdict import Verdict, judge
from streaming.contracts.records import GateOutcome, GateResult

FIRST_MARGIN = (1, 10)
"""Steps whose first one has the margin of a first canary step: five times the final tolerance."""


def bake_step(rules: RolloutRules) -> int:
    """`Block.step` of a bake: the index after those of the steps."""
    return len(rules.weights)


def judge_weight(rollout: Rollout, tick: TickInput) -> Verdict:
    """The verdict at the weight of the current step."""
    silent = _silent_seconds(rollout, rollout.counts, tick.now)
    return judge_at(rollout, rollout.step, rules=tick.rules, silent_seconds=silent)


def judge_at(rollout: Rollout, step: int, *, rules: RolloutRules, silent_seconds: float) -> Verdict:
    """The verdict on all evidence so far, with the margins of a step, by its index."""
    further = judge_evidence(
        rollout.evidence,
        next_weight=rules.next_weight(step),
        rules=rules_for(rollout.candidate, rules.evidence),
    )
    with_stable = rollout.phase is not Phase.EJECTED
    return _judge(rollout.counts, step, rules, further, silent_seconds, with_stable=with_stable)


def judge_bake(rollout: Rollout, tick: TickInput, *, coarse: bool = False) -> Verdict:
    """The verdict on the promoted version against the replaced one, on the bake's requests only.

    The bake is a test of its own, with its own α: evidence that the steps gave in favour of the
    version does not hide harm that begins after its promotion.

    Parameters
    ----------
    coarse:
        Whether the margin of a first step is enough, instead of the final one.
    """
    rules = dataclasses.replace(
        tick.rules, steps=FIRST_MARGIN if coarse else (tick.rules.bake_weight,)
    )
    own = bake_step(tick.rules)
    everything = rollout.counts.blocks
    blocks = tuple(replace(block, step=0) for block in everything if block.step == own)
    before = everything[: blocks_before(everything)]
    counts = replace(rollout.counts, blocks=(*before, *blocks), control_from=0, discarded=0)
    failed = failing(rollout.evidence, rules=rules_for(rollout.candidate, tick.rules.evidence))
    # the stable arm has the version that is judged
    silent = _silent_seconds(rollout, counts, tick.now)
    return _judge(counts, 0, rules, failed, silent, with_stable=False)


def _silent_seconds(rollout: Rollout, counts: ArmCounts, now: float) -> float:
    return now - (counts.heard_at or rollout.run_since or rollout.since)


def _judge(
    counts: ArmCounts,
    step: int,
    rules: RolloutRules,
    further: tuple[GateResult, ...],
    silent_seconds: float,
    *,
    with_stable: bool,
) -> Verdict:
    """The verdict of the gates on request counts, and of the further ones that decide."""
    known = blocks_before(counts.blocks)
    left_out = max(known, counts.discarded)
    control_from = max(0, counts.control_from - left_out)
    blocks, before = counts.blocks[left_out:], counts.blocks[:known]
    gates = _gates(blocks, counts.run, step, rules, control_from, with_stable, before)
    verdict = judge(
        (*gates, *deciding(further)),
        silent_seconds=silent_seconds,
        stale_seconds=rules.stale_seconds,
    )
    return dataclasses.replace(verdict, gates=(*gates, *further))


@lru_cache(maxsize=256)
def _gates(
    blocks: tuple[Block, ...],
    run: int,
    step: int,
    rules: RolloutRules,
    control_from: int,
    with_stable: bool,
    before: tuple[Block, ...],
) -> tuple[GateResult, ...]:
    """The gates' results; a block closes every few seconds, and ticks in between repeat them."""
    return judge_gates(
        blocks,
        run=run,
        step=step,
        rules=rules,
        control_from=control_from,
        with_stable=with_stable,
        before=before,
    )


def fail(
    state: RolloutState, rollout: Rollout, verdict: Verdict, tick: TickInput, *, weight: int
) -> Change:
    """Begin the rollback for the reason of the verdict.

    What a version that its server does not have at that moment fails by is an outage: its requests,
    or their copies, reached nobody.
    """
    at_fault = verdict.outcome == "fail" and (
        not rollout.run_since or serves(tick.observed, "canary", rollout.candidate.version)
    )
    cause: RollbackCause = "fail" if at_fault else "outage"
    back = roll_back(rollout, verdict.reason, tick.now, cause)
    return with_verdict(state, back, verdict, tick, weight=weight)


def give_up(
    state: RolloutState, rollout: Rollout, reason: str, tick: TickInput, *, weight: int = 0
) -> Change:
    """Begin the rollback because it could not be judged, or a server was missing."""
    return fail(state, rollout, Verdict(outcome="error", reason=reason), tick, weight=weight)


def unproven(verdict: Verdict, seconds: float) -> Verdict:
    """The verdict at a deadline, at which a pass that came too late is insufficient."""
    outcome: GateOutcome = "insufficient" if verdict.outcome == "pass" else verdict.outcome
    reason = (
        f"Not proven within {seconds:.0f} s, so rolled back, though nothing failed: "
        f"{verdict.reason}"
    )
    return Verdict(outcome=outcome, reason=reason, gates=verdict.gates)


def report_progress(
    state: RolloutState, rollout: Rollout, verdict: Verdict, tick: TickInput, *, weight: int
) -> Change:
    """Write a verdict record when the outcome changed, and at regular intervals."""
    due = tick.now - rollout.reported_at >= tick.rules.report_seconds
    changed = verdict.outcome != rollout.reported_outcome
    if rollout.run_since is None or not (due or changed):
        return state, []
    return with_verdict(state, rollout, verdict, tick, weight=weight)


def with_verdict(
    state: RolloutState, rollout: Rollout, verdict: Verdict, tick: TickInput, *, weight: int
) -> Change:
    """Write the verdict on the old phase, and continue with `rollout`."""
    assert state.rollout is not None
    record = verdict_record(state.rollout, verdict, model=state.model, weight=weight, now=tick.now)
    rollout = replace(rollout, reported_at=tick.now, reported_outcome=verdict.outcome)
    if verdict.outcome != "insufficient":
        rollout = replace(rollout, verdict_id=record.record_id)
    return replace(state, rollout=rollout), [record]
