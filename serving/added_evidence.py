"""Scores and realised quality that the log brings for the versions of a rollout."""

from __future__ import annotations

from msgspec.structs import replace

from serving.compact_state import evidence_digest
from serving.evidence.collected import add_record, rules_for
from serving.inputs import digest_of, note_record, with_rules
from serving.rules import RolloutRules
from serving.state import Rollout, RolloutState, Transition
from streaming.contracts.records import PredictionScores, QualityVerdict


def add_evidence(
    state: RolloutState,
    rollout: Rollout,
    record: PredictionScores | QualityVerdict,
    rules: RolloutRules,
    *,
    now: float,
    code: str,
) -> Transition:
    """Add a record to the evidence, and note it for the inputs if it changed anything.

    `code` is the version of the code, for the record of the rules; `now` is in seconds since 1970.
    """
    evidence = add_record(
        rollout.evidence,
        record,
        canary=rollout.candidate.version,
        champion=rollout.champion,
        rules=rules_for(rollout.candidate, rules.evidence),
    )
    changed = evidence_digest(evidence) != evidence_digest(rollout.evidence)
    rollout = replace(rollout, evidence=evidence)
    if not changed:
        return Transition(state=replace(state, rollout=rollout))
    rollout = note_record(rollout, record.record_id, digest_of(rules, code))
    state, records = with_rules(replace(state, rollout=rollout), rules, code=code, now=now)
    return Transition(state=state, records=records)
