"""The gates on scores and quality in slices: what all predictions together hide is found."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace as replace_rules
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from serving.compact_state import evidence_digest
from serving.evidence.collected import (
    RolloutEvidence,
    add_record,
    deciding,
    failing,
    judge_evidence,
    rules_for,
)
from serving.evidence.open_strata import EACH, LONGEST_SECONDS, OpenStratum, Pair, add_slots
from serving.evidence.predictions import PredictionEvidence
from serving.evidence.quality import QualityEvidence
from serving.evidence.queries import QueryEvidence
from serving.evidence.rules import (
    BUILT_IN_GATES,
    EvidenceRules,
    EvidenceSlices,
    PredictionGateRules,
    QualityGateRules,
    QueryGate,
)
from serving.evidence.slice_results import smallest_distance
from serving.plan import plan
from serving.rules import RolloutRules
from serving.slice_rules import SliceRules
from streaming.contracts.base import Value
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.ids import digest
from streaming.contracts.records import (
    GateResult,
    Metric,
    PredictionScores,
    SliceCounts,
    SliceScores,
    VersionScores,
)
from tests.serving.evidence import test_predictions as scores
from tests.serving.evidence import test_realised_quality as labels
from tests.serving.recomputing import computed_again
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version
from tests.serving.test_recompute import log_of
from tests.simulations.canary.slice_scores import RULES, sliced_scores

CANARY, CHAMPION = 2, 1
NAMES = ("acme", "beta", "tiny")
SLICED = EvidenceRules(measured=True, slices=EvidenceSlices(values=NAMES))
SHARES = {"acme": 0.3, "beta": 0.05, "tiny": 0.002}


def scores_record(number: int, counts: dict[str, dict[int, Any]]) -> PredictionScores:
    """A record of scores by slice; those of no slice are named ``""``."""
    total = {
        arm: np.sum([rows[arm] for rows in counts.values()], axis=0) for arm in (CANARY, CHAMPION)
    }
    parts = tuple(
        SliceScores(name=name, scores=scores.record(number, rows).scores)
        for name, rows in counts.items()
        if name
    )
    return replace(scores.record(number, total), slices=parts)


def play(flipped: str, *, chunks: int = 30, rules: EvidenceRules = SLICED) -> RolloutEvidence:
    """Chunks of 1,000 predictions of either version, with one slice flipped in the canary."""
    random, evidence, champion = np.random.default_rng(3), RolloutEvidence(), scores.shares(-1.3)
    for chunk in range(chunks):
        counts = {
            name: {
                CANARY: random.multinomial(
                    random.poisson(1000 * share), champion[::-1] if name == flipped else champion
                ),
                CHAMPION: random.multinomial(random.poisson(1000 * share), champion),
            }
            for name, share in {**SHARES, "": 1 - sum(SHARES.values())}.items()
        }
        evidence = add_record(
            evidence, scores_record(chunk, counts), canary=CANARY, champion=CHAMPION, rules=rules,
        )  # fmt: skip
    return evidence


def gates(evidence: RolloutEvidence, rules: EvidenceRules = SLICED) -> dict[str, GateResult]:
    return {g.gate: g for g in judge_evidence(evidence, next_weight=100, rules=rules)}


def test_a_flipped_slice_fails_though_all_predictions_pass() -> None:
    evidence = play("beta")
    results = gates(evidence)
    assert results["predictions"].outcome == "pass"
    failed = results["predictions_by_slice"]
    assert failed.outcome == "fail"
    assert "In slice beta the scores' distributions differ" in failed.reason
    assert [part.outcome for part in failed.slices] == ["pass", "fail", "insufficient"]
    assert [gate.gate for gate in failing(evidence, rules=SLICED)] == ["predictions_by_slice"]


def test_a_slice_that_is_too_small_is_named_and_neither_holds_nor_passes() -> None:
    result = gates(play(""))["predictions_by_slice"]
    assert (result.outcome, result.holds) == ("pass", False)
    tiny = result.slices[-1]
    assert (tiny.outcome, tiny.holds) == ("insufficient", False)
    assert "Too few predictions to judge: tiny" in result.reason


@pytest.mark.parametrize("mode", ["soft", "critical"])
def test_a_large_slice_without_enough_predictions_holds(mode: str) -> None:
    predictions = PredictionGateRules(mode=mode)  # type: ignore[arg-type]
    rules = replace_rules(SLICED, predictions=predictions)
    result = gates(play("", chunks=1), rules)["predictions_by_slice"]
    assert (result.outcome, result.holds) == ("pass", mode == "critical")
    random, champion = np.random.default_rng(3), scores.shares(-1.3)
    few = {arm: random.multinomial(15, champion) for arm in (CANARY, CHAMPION)}
    others = {arm: random.multinomial(200, champion) for arm in (CANARY, CHAMPION)}
    evidence = add_record(
        RolloutEvidence(), scores_record(0, {"acme": few, "": others}), canary=CANARY,
        champion=CHAMPION, rules=rules,
    )  # fmt: skip
    result = gates(evidence, rules)["predictions_by_slice"]
    assert (result.outcome, result.holds, result.missing) == ("insufficient", True, 15)
    assert "Slice acme: about 15 more predictions are needed" in result.reason


def test_predictions_that_name_no_slice_stop_only_a_critical_gate() -> None:
    for mode, holds in (("soft", False), ("critical", True)):
        rules = replace_rules(SLICED, predictions=PredictionGateRules(mode=mode))  # type: ignore[arg-type]
        evidence = add_record(
            RolloutEvidence(),
            scores.record(0, {v: np.rint(scores.shares(0.0) * 900).astype(int) for v in (1, 2)}),
            canary=CANARY, champion=CHAMPION, rules=rules,
        )  # fmt: skip
        result = gates(evidence, rules)["predictions_by_slice"]
        assert (result.outcome, result.holds) == ("insufficient", holds)
        assert "rollout.slices.field" in result.reason
        assert (result in deciding((result,))) == holds


def test_a_second_delivery_changes_nothing_and_other_slices_are_ignored() -> None:
    champion = np.rint(scores.shares(0.0) * 50).astype(int)
    both = {CANARY: champion, CHAMPION: champion}
    record = scores_record(1, {"acme": both, "gone": both})
    args: dict[str, Any] = {"canary": CANARY, "champion": CHAMPION, "rules": SLICED}
    once = add_record(RolloutEvidence(), record, **args)
    assert add_record(once, record, **args) == once
    assert [part.name for part in once.slices] == list(NAMES)


def test_the_slices_share_what_all_predictions_do_not_spend() -> None:
    (all_scores, all_quality), (scores_rules, quality_rules) = SLICED.of_all, SLICED.of_slice
    assert all_scores.alpha + 3 * scores_rules.alpha == pytest.approx(0.01)
    assert all_quality.alpha_fail + 3 * quality_rules.alpha_fail == pytest.approx(0.005)
    assert quality_rules.alpha_pass == QualityGateRules().alpha_pass
    assert EvidenceRules(measured=True).of_all[0] == PredictionGateRules()


def test_what_the_evaluation_found_in_any_slice_is_no_surprise_in_one() -> None:
    metrics = (
        Metric(name="score_distance", slice="", value=0.05, n=100),
        Metric(name="score_distance", slice="company:x", value=0.5, n=100),
    )
    rules = rules_for(replace(version(2), evaluation=metrics), SLICED)
    assert rules.predictions.floor == pytest.approx(0.15)
    assert rules.of_slice[0].floor == pytest.approx(0.8)


def test_slices_whose_scores_the_evaluation_found_wholly_apart_are_left_to_the_labels() -> None:
    metrics = (Metric(name="score_distance", slice="company:x", value=0.7, n=100),)
    rules = rules_for(replace(version(2), evaluation=metrics), SLICED)
    result = gates(play("beta", rules=rules), rules)["predictions_by_slice"]
    assert (result.outcome, result.holds) == ("insufficient", False)
    assert "the labels judge the slices" in result.reason


class EvidenceBefore(Value, frozen=True, kw_only=True):
    """The evidence as it was before slices had any."""

    predictions: PredictionEvidence
    quality: QualityEvidence
    queries: tuple[QueryEvidence, ...]


def test_evidence_without_slices_has_the_digest_of_older_releases() -> None:
    evidence = play("", chunks=1, rules=EvidenceRules(measured=True))
    older = EvidenceBefore(
        predictions=replace(evidence.predictions, seen=()),
        quality=evidence.quality,
        queries=evidence.queries,
    )
    assert evidence_digest(evidence) == digest(msgspec.json.encode(older))[:24]
    assert evidence_digest(play("", chunks=1)) != evidence_digest(evidence)


@pytest.mark.parametrize(
    ("changes", "text"), [({"scores": 1.0}, "slices.scores"), ({"quality": 0.0}, "slices.quality")]
)
def test_limits_that_cannot_be_are_refused(changes: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        EvidenceSlices(values=("a",), **changes)


def test_no_query_takes_the_name_of_a_slice_gate() -> None:
    assert "predictions_by_slice" not in BUILT_IN_GATES
    with pytest.raises(ConfigurationError, match="predictions_by_slice"):
        QueryGate(name="predictions_by_slice", query="x{a='$arm'}", direction="lower", margin=1.0)


# ------------------------------------------------------------------------ strata


def entry(arm: int, slot: float, count: int) -> VersionScores:
    return VersionScores(version=arm, slot=slot, buckets=(8,), counts=(count,))


def test_a_stratum_ends_when_both_versions_have_some_predictions() -> None:
    open_stratum = OpenStratum()
    ended: list[Pair] = []
    for slot in range(EACH + 1):
        added = (entry(CANARY, slot * 10.0, 1), entry(CHAMPION, slot * 10.0, 20), entry(9, 0.0, 7))
        open_stratum, more = add_slots(open_stratum, added, canary=CANARY, champion=CHAMPION)
        ended += more
    ((canary, champion),) = ended
    assert (canary.counts, champion.counts) == ((EACH,), (20 * EACH,))
    assert sum(sum(e.counts) for e in open_stratum.scores) == 21


def test_a_stratum_of_one_version_is_dropped_after_five_minutes() -> None:
    slots = [entry(CHAMPION, 0.0, 50), entry(CANARY, LONGEST_SECONDS, 1)]
    left, ended = add_slots(OpenStratum(), slots, canary=CANARY, champion=CHAMPION)
    assert ended == ()
    assert [e.version for e in left.scores] == [CANARY]


# ------------------------------------------------------------------------ quality


def quality_of(canary_auc: float, *, windows: int = 12) -> dict[str, GateResult]:
    """Windows of 1,000 labels; the canary orders slice beta (a tenth) with another AUC."""
    random, evidence = np.random.default_rng(5), RolloutEvidence()
    for window in range(windows):
        for arm, auc in ((CHAMPION, 0.85), (CANARY, canary_auc)):
            others, mine = labels.draw(random, 0.85, 900), labels.draw(random, auc, 100)
            everything = (others[0] + mine[0], others[1] + mine[1])
            part = SliceCounts(name="beta", counts=labels.verdict(arm, window, mine).counts)
            record = labels.verdict(arm, window, everything, slices=(part,))
            evidence = add_record(evidence, record, canary=CANARY, champion=CHAMPION, rules=SLICED)
    return gates(evidence)


def test_a_slice_whose_order_is_lost_fails_by_its_labels() -> None:
    result = quality_of(0.4)["quality_by_slice"]
    assert result.outcome == "fail"
    assert "In slice beta the canary is worse than the champion" in result.reason


def test_a_slice_of_the_same_quality_passes_and_the_others_hold_nothing() -> None:
    result = quality_of(0.85, windows=40)["quality_by_slice"]
    assert (result.outcome, result.holds) == ("pass", False)
    assert [part.outcome for part in result.slices] == ["insufficient", "pass", "insufficient"]
    early = quality_of(0.85, windows=1)["quality_by_slice"]
    assert (early.outcome, early.holds) == ("pass", False)
    assert early.slices[1].outcome == "insufficient"


# ------------------------------------------------------------------------ whole rollouts


def test_a_flipped_slice_rolls_back_and_is_computed_again_byte_for_byte() -> None:
    rollout = RolloutSimulation(rules=quick_rules(evidence=SLICED, bake_seconds=60.0))
    rollout.start_canary()
    random, champion = np.random.default_rng(0), scores.shares(-1.3)
    sent: list[PredictionScores] = []
    for second in range(200):
        rollout.tick()
        share = rollout.canary / 100
        if rollout.live == CANARY or not share:
            continue
        if second % 5 == 4:
            counts = {
                name: {
                    arm: random.multinomial(
                        random.poisson(2000 * part * of_arm),
                        champion[::-1] if (name, arm) == ("beta", CANARY) else champion,
                    )
                    for arm, of_arm in ((CANARY, share), (CHAMPION, 1 - share))
                }
                for name, part in {"beta": 0.05, "": 0.95}.items()
            }
            sent.append(scores_record(second, counts))
            rollout.send(sent[-1])
    assert rollout.live == CHAMPION
    verdict = next(v for v in rollout.verdicts if v.outcome == "fail")
    assert "In slice beta" in verdict.reason
    results = computed_again(log_of(rollout, *sent))
    assert {result.outcome for result in results} == {"equal"}


def test_the_plan_names_the_distance_that_is_found_in_each_slice() -> None:
    sliced = SliceRules(header="x-tenant", values=NAMES)
    rules = RolloutRules(slices=sliced, evidence=SLICED)
    planned = plan(rules, 100.0, shares=(*SHARES.items(), ("none", 0.0001)))
    assert "scores that differ by" in planned.slices[0].text
    assert "no difference of its scores" in planned.slices[3].text
    without = plan(RolloutRules(slices=sliced), 100.0, shares=tuple(SHARES.items()))
    assert "scores" not in without.text
    large, small = (smallest_distance(SLICED.of_slice[0], n) for n in (10_000.0, 20.0))
    assert 0.3 <= large < small < 1


# ------------------------------------------------------------------------ simulations


def test_identical_canaries_do_not_fail_in_ten_slices() -> None:
    ends = [sliced_scores(100.0, "", seed) for seed in range(20)]
    assert Counter(end.result for end in ends) == {"promoted": 20}


def test_a_flipped_slice_of_one_percent_is_never_promoted() -> None:
    ends = [sliced_scores(100.0, "s1", seed) for seed in range(12)]
    assert all(end.result != "promoted" for end in ends)
    assert sum(end.slices == ("s1",) for end in ends) >= 11


def test_the_slices_keep_their_part_of_alpha_without_a_floor() -> None:
    """A floor hides false alarms; with none, 30 % of 60 % over all slices and looks is kept."""
    slices = EvidenceSlices(values=RULES.slices.values, scores=1e-9)
    predictions = PredictionGateRules(alpha=0.6, floor=1e-9)
    rules = EvidenceRules(measured=True, slices=slices, predictions=predictions)
    ends = [sliced_scores(100.0, "", 500 + seed, rules) for seed in range(25)]
    assert sum(end.gate == "predictions_by_slice" for end in ends) <= 8  # 4.5 and two sd
